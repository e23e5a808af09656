//! A plugin's own script.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod actions_support;

use actions_support::Stage;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn expressions_and_bodies_give_their_value_as_json() {
    let stage = Stage::of("<title>t</title><p>1<p>2").await;
    for (script, argument, expected) in [
        ("1 + 1", json!(null), json!(2)),
        ("document.title", json!(null), json!("t")),
        ("return argument.a[1]", json!({"a": [1, "ü\u{2028}"]}), json!("ü\u{2028}")),
        ("const two = 2; return [two, undefined, null, NaN, -0.5]", json!(null), json!([2, null, null, null, -0.5])),
        ("({ a: 1, b: undefined, c: { d: [] } })", json!(null), json!({"a": 1, "c": {"d": []}})),
        ("undefined", json!(null), json!(null)),
        ("let x = 1;", json!(null), json!(null)),
        ("new Promise(done => setTimeout(done, 20, 'later'))", json!(null), json!("later")),
        ("await Promise.resolve(3)", json!(null), json!(3)),
        ("1 // a comment", json!(null), json!(1)),
        ("new Date(0)", json!(null), json!("1970-01-01T00:00:00.000Z")),
        ("new Uint8Array([1, 2])", json!(null), json!([1, 2])),
        ("Array.from(document.querySelectorAll('p'), p => p.textContent)", json!(null), json!(["1", "2"])),
        ("({ length: 3, '#': 1, '$a': 2 })", json!(null), json!({"length": 3, "#": 1, "$a": 2})),
    ] {
        assert_eq!(stage.page.evaluate(None, script, &argument).await.unwrap(), expected, "{script}");
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_one_sentence() {
    let stage = Stage::of("<p>x").await;
    for (script, code, words) in [
        (
            "return null.x",
            "failed",
            "the script threw TypeError: Cannot read properties of null (reading 'x') (line 1)",
        ),
        (
            "const a = 1;\nawait 0;\nthrow new Error('boom\\nsecond')",
            "failed",
            "the script threw Error: boom second (line 3)",
        ),
        ("throw 'words'", "failed", "the script threw \"words\""),
        ("throw { message: 'in an object' }", "failed", "threw an object that says: in an object"),
        ("Promise.reject(new RangeError('no'))", "failed", "the script threw RangeError: no (line 1)"),
        ("const a =\nconst b", "invalid", "the script is not valid: SyntaxError: Unexpected token 'const' (line 2)"),
        ("document.body", "failed", "the result cannot be given as JSON: it is a DOM node"),
        ("({ a: [() => 1] })", "failed", "the result at /a/0 cannot be given as JSON: it is a function"),
        ("10n", "failed", "it is a bigint"),
        ("new Map()", "failed", "it is a Map or Set"),
        ("const o = {}; o.o = o; return o", "failed", "contains itself"),
        ("'x'.repeat(20 * 1024 * 1024)", "limit", "the result is larger than"),
        ("new Array(1e9)", "limit", "the result is larger than"),
    ] {
        let error = stage.page.evaluate(None, script, &Value::Null).await.unwrap_err();
        assert_eq!(error.code(), code, "{script}: {error}");
        assert!(error.to_string().contains(words), "{script}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_by_script_does_not_lose_readings_or_scripts() {
    // The stub goes away while the calls run: each must answer from the document that stays.
    let stage = Stage::with(&[
        ("/", "<p>start"),
        (
            "/stub",
            "<title>stub</title><script>onclick = () => {}; window.go = () => location.replace('/end')</script><p>stub",
        ),
        ("/end", "<title>end</title><p>end"),
    ])
    .await;
    for _ in 0..5 {
        stage.goto("/stub").await;
        let page = &stage.page;
        let waiting = page.evaluate(
            None,
            "if (document.title === 'stub') { setTimeout(go, 0); await new Promise(() => {}); } return document.title",
            &Value::Null,
        );
        assert_eq!(waiting.await.unwrap(), json!("end"));
        assert_eq!(page.text("p").await.unwrap(), "end");

        stage.goto("/stub").await;
        stage.js("setTimeout(go, 0); 1").await;
        let mut seen = String::new();
        while seen != "end" {
            seen = page.text("p").await.unwrap();
            assert!(seen == "stub" || seen == "end", "{seen}");
            let title = page.evaluate(None, "document.title", &Value::Null).await.unwrap();
            assert!(title == "stub" || title == "end", "{title}");
        }
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_navigates_for_ever_ends() {
    let stage = Stage::with(&[("/", "<p>a"), ("/next", "<p>b")]).await;
    let error = stage
        .page
        .evaluate(None, "location.href = '/next?' + Math.random(); await new Promise(() => {})", &Value::Null)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the script may be what navigates"), "{error}");
    stage.close().await;
}
