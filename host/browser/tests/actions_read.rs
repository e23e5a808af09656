//! Reading: fields, texts, counts, articles; selectors of every kind; hostile documents.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod actions_support;

use actions_support::{LONG, SHORT, Stage, field};
use buddy_browser::ContextOptions;
use buddy_browser::actions::State;
use serde_json::json;

const SHOP: &str = r#"
<base href="/deep/">
<h1>  Two   words </h1>
<ul>
  <li class=item data-id=1><a href="one">First <b>one</b></a><span hidden>secret</span><i>1 €</i></li>
  <li class=item data-id=2><a href="/two?q=1#x">Second</a></li>
</ul>
<input id=name value=start>
<select id=pick><option value=a>A<option value=b selected>B</select>
<textarea id=area>lines</textarea>
<img src="pic.png">"#;

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_taken_in_one_round_trip() {
    let stage = Stage::of(SHOP).await;
    let base = format!("{}/deep/", stage.site);

    let whole = stage
        .page
        .extract(
            None,
            &[
                field("title", "h1", None, false),
                field("ids", ".item", Some("@data-id"), true),
                field("links", "a", Some("@href"), true),
                field("picture", "img", Some("@src"), false),
                field("html", "li a", Some("html"), false),
                field("outer", "li a b", Some("outer-html"), false),
                field("name", "#name", Some("value"), false),
                field("picked", "#pick", Some("value"), false),
                field("area", "#area", Some("value"), false),
                field("nothing", ".none", None, false),
                field("nothings", ".none", None, true),
                field("__proto__", "h1", None, false),
            ],
        )
        .await
        .unwrap();
    assert_eq!(
        whole,
        json!({
            "title": "Two words",
            "ids": ["1", "2"],
            "links": [format!("{base}one"), format!("{}/two?q=1#x", stage.site)],
            "picture": format!("{base}pic.png"),
            "html": "First <b>one</b>",
            "outer": "<b>one</b>",
            "name": "start",
            "picked": "b",
            "area": "lines",
            "nothing": null,
            "nothings": [],
            "__proto__": "Two words",
        })
    );

    let rows = stage
        .page
        .extract(
            Some("li.item"),
            &[
                field("text", ":scope", None, false),
                field("id", ":scope", Some("@data-id"), false),
                field("price", ":scope > i", None, false),
            ],
        )
        .await
        .unwrap();
    assert_eq!(
        rows,
        json!([
            {"text": "First one1 €", "id": "1", "price": "1 €"},
            {"text": "Second", "id": "2", "price": null},
        ])
    );
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_readings_wait_for_their_element() {
    let stage =
        Stage::of("<script>setTimeout(() => { document.body.innerHTML = '<p title=t> late  one</p>' }, 150)</script>")
            .await;
    assert_eq!(stage.page.text("p").await.unwrap(), "late one");
    assert_eq!(stage.page.attribute("p", "title").await.unwrap().as_deref(), Some("t"));
    assert_eq!(stage.page.attribute("p", "lang").await.unwrap(), None);
    assert_eq!(stage.page.count("p").await.unwrap(), 1);
    assert_eq!(stage.page.count("q").await.unwrap(), 0);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_selector_or_field_is_told_at_once() {
    let stage = Stage::of("<p>x").await;
    for (selector, words) in
        [("p[", "not valid CSS"), ("xpath=//p[", "not a valid XPath"), ("xpath=count(//p)", "not a valid XPath")]
    {
        let error = stage.page.count(selector).await.unwrap_err();
        assert_eq!(error.code(), "invalid", "{selector}: {error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = stage.page.extract(None, &[field("x", "p", Some("words"), false)]).await.unwrap_err();
    assert!(error.to_string().contains("takes something unknown"), "{error}");
    let error = stage.page.extract(None, &[field("x", "iframe >>> p", None, false)]).await.unwrap_err();
    assert!(error.to_string().contains("leads into a frame"), "{error}");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_roles_and_paths_select() {
    let stage = Stage::of(
        r#"
        <div><p>Sign   in here</p><p>SIGN OUT</p></div>
        <input type=submit value="Send it">
        <button aria-label="Close dialog">×</button>
        <button><img alt=Save> all</button>
        <label for=mail>Your mail</label><input id=mail>
        <label>Agree <input type=checkbox></label>
        <a href=/x>More</a><a>not a link</a>
        <h2>Part</h2>
        <nav aria-label=Main>n</nav>
        <div role=tab aria-labelledby=t1></div><span id=t1>Second tab</span>
        <button style="display:none">Save all</button>"#,
    )
    .await;
    for (selector, count) in [
        ("text=sign", 2),
        ("text=sign in", 1),
        ("text=\"Sign in here\"", 1),
        ("text=\"sign in here\"", 0),
        ("text=Send it", 1),
        ("role=button", 3),
        ("role=button[name=\"close dialog\"]", 1),
        ("role=button[name=\"Save all\"]", 1),
        ("role=textbox[name='Your mail']", 1),
        ("role=checkbox[name=\"Agree\"]", 1),
        ("role=link", 1),
        ("role=heading[name=\"Part\"]", 1),
        ("role=navigation[name=\"Main\"]", 1),
        ("role=tab[name=\"Second tab\"]", 1),
        ("xpath=//p[2]", 1),
        ("xpath=//p", 2),
        ("p, h2", 3),
    ] {
        assert_eq!(stage.page.count(selector).await.unwrap(), count, "{selector}");
    }
    stage.close().await;
}

const SHADOWS: &str = r#"
<x-card class=outer><b>light</b></x-card><div id=after>after</div>
<script>
customElements.define('x-card', class extends HTMLElement {
  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    root.innerHTML = '<div class=in><p>deep text</p><slot></slot><x-leaf></x-leaf></div>';
  }
});
customElements.define('x-leaf', class extends HTMLElement {
  constructor() {
    super();
    this.attachShadow({ mode: 'open' }).innerHTML = '<button onclick="this.textContent = \'pressed\'">deeper</button>';
  }
});
</script>"#;

#[tokio::test(flavor = "multi_thread")]
async fn b22_open_shadow_roots_are_pierced() {
    let stage = Stage::of(SHADOWS).await;
    for (selector, count) in [
        ("p", 1),
        ("x-card p", 1),
        (".outer .in x-leaf button", 1),
        ("body x-card .in > p", 1),
        ("#after button", 0),
        ("text=deep text", 1),
        ("role=button[name=\"deeper\"]", 1),
        ("p, b, button", 3),
    ] {
        assert_eq!(stage.page.count(selector).await.unwrap(), count, "{selector}");
    }
    assert_eq!(stage.page.text("x-card").await.unwrap(), "deep text lightdeeper");
    stage.page.click("x-card button", &actions_support::click_within(LONG)).await.unwrap();
    assert_eq!(stage.page.text("x-leaf button").await.unwrap(), "pressed");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_a_closed_shadow_root_is_named_in_the_error() {
    let stage = Stage::of(
        "<div id=host></div><script>document.getElementById('host').attachShadow({mode: 'closed'}).innerHTML = '<p>x</p>'</script>",
    )
    .await;
    let error = stage.page.wait_for("p", State::Attached, SHORT).await.unwrap_err();
    assert_eq!(error.code(), "timed-out");
    let message = error.to_string();
    assert!(message.contains("wait-for `p`") && message.contains("no element matches it"), "{message}");
    assert!(message.contains("<div id=\"host\"> has a closed shadow root"), "{message}");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b22_frames_are_entered_of_the_same_and_of_another_site() {
    let stage = Stage::with(&[
        (
            "/",
            "<iframe id=same src=/inner style='margin: 30px; border: 7px solid'></iframe>\
             <iframe id=other src={other_site}/inner></iframe><p>top</p>",
        ),
        (
            "/inner",
            "<p>inside</p><button onclick=\"this.textContent = 'clicked ' + event.isTrusted\">go</button>\
             <input id=in><iframe id=nested src={site}/leaf></iframe>",
        ),
        ("/leaf", "<p>leaf</p><a href=/leaf>link</a>"),
    ])
    .await;
    for frame in ["#same", "#other"] {
        assert_eq!(stage.page.text(&format!("{frame} >>> p")).await.unwrap(), "inside", "{frame}");
        assert_eq!(stage.page.text(&format!("{frame} >>> #nested >>> p")).await.unwrap(), "leaf", "{frame}");
        stage.page.click(&format!("{frame} >>> button"), &actions_support::click_within(LONG)).await.unwrap();
        assert_eq!(stage.page.text(&format!("{frame} >>> button")).await.unwrap(), "clicked true", "{frame}");
        stage.page.fill(&format!("{frame} >>> #in"), "typed", LONG).await.unwrap();
        let value =
            stage.page.evaluate(Some(frame), "document.getElementById('in').value + argument", &json!("!")).await;
        assert_eq!(value.unwrap(), json!("typed!"), "{frame}");
        let error = stage.page.evaluate(Some(frame), "1 +\n+ ;", &json!(null)).await.unwrap_err();
        assert!(error.to_string().contains("the script is not valid: SyntaxError"), "{error}");
        let each = format!("{frame} >>> #nested >>> a");
        let links = stage.page.extract(Some(&each), &[field("to", ":scope", Some("@href"), false)]).await.unwrap();
        assert_eq!(links, json!([{"to": format!("{}/leaf", stage.site)}]), "{frame}");
        assert!(stage.page.frame_html(frame, 10_000).await.unwrap().text.contains("<p>inside</p>"), "{frame}");
    }
    let error = stage.page.text("p >>> b").await.unwrap_err();
    assert_eq!(error.code(), "invalid");
    assert!(error.to_string().contains("<p>top is not a frame"), "{error}");
    let error = stage.page.wait_for("#none >>> b", State::Visible, SHORT).await.unwrap_err();
    assert!(error.to_string().contains("its frame is not there: no element matches it"), "{error}");
    stage.page.wait_for("#none >>> b", State::Detached, SHORT).await.unwrap();
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_article_is_read_without_its_surroundings() {
    let paragraph = "The quick brown fox, seen by many, jumps over the lazy dog and goes on its way. ".repeat(3);
    let stage = Stage::of(&format!(
        "<header><nav><a href=/>Home</a><a href=/a>About us and all of our friends, partners and more</a></nav></header>
         <div class=page><div class=text><h1>Foxes</h1><p>{paragraph}</p><p>{paragraph}</p>
         <ul><li>First point of the list</li></ul><pre>a  b\n  c</pre>
         <div class=share-buttons><a href=/s>Share this</a></div><p style='display:none'>{paragraph}</p></div>
         <div class=sidebar><p><a href=/r>{paragraph}</a></p></div></div>
         <div class=cookie-banner>We use cookies, of course, for you, for us, and for our 843 partners.</div>
         <footer>Imprint</footer><script>var x = 'not text'</script>"
    ))
    .await;
    let text = stage.page.article(None).await.unwrap();
    let sentence = paragraph.trim();
    assert_eq!(text, format!("Foxes\n{sentence}\n{sentence}\n- First point of the list\na  b\n  c"));

    stage.js("document.body.innerHTML = '<nav>n</nav><article><h1>T</h1>' + 'word '.repeat(50) + '</article>'").await;
    assert!(stage.page.article(None).await.unwrap().starts_with("T\nword word"));
    stage.close().await;
}

const HOSTILE: &str = r"
<form id=f><input name=getAttribute><input name=children><input name=querySelectorAll><input name=tagName>
<input name=getBoundingClientRect><input name=parentNode><button id=b type=button>Press</button></form>
<img name=querySelectorAll><img name=body><iframe name=__buddy></iframe><a id=__buddy></a><p>text</p>
<script>
  for (const proto of [Array.prototype, Object.prototype, Promise.prototype, String.prototype, Map.prototype]) {
    for (const name of Object.getOwnPropertyNames(proto)) {
      if (name === 'constructor' || typeof Object.getOwnPropertyDescriptor(proto, name).value !== 'function') continue;
      try { proto[name] = () => { throw new Error('hostile ' + name) } } catch {}
    }
  }
  Object.defineProperty(Array.prototype, '0', { set() { throw new Error('hostile 0') } });
  Object.defineProperty(Object.prototype, 'value', { set() { throw new Error('hostile value') } });
  JSON.stringify = JSON.parse = Array.isArray = () => { throw new Error('hostile') };
  Object.prototype.toJSON = () => 'hostile';
  Element.prototype.getAttribute = document.querySelector = () => { throw new Error('hostile') };
  window.__buddy_ = 1;
</script>";

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_page_does_not_break_reading_acting_or_evaluating() {
    let stage = Stage::of(HOSTILE).await;
    let read = stage
        .page
        .extract(
            None,
            &[
                field("text", "p", None, false),
                field("id", "form", Some("@id"), false),
                field("all", "input", Some("@name"), true),
            ],
        )
        .await
        .unwrap();
    assert_eq!(read["text"], "text");
    assert_eq!(read["id"], "f");
    assert_eq!(read["all"].as_array().unwrap().len(), 6);
    stage.page.click("form button", &actions_support::click_within(LONG)).await.unwrap();
    stage.page.fill("input[name=children]", "v", LONG).await.unwrap();

    // `toJSON` on every object is the page's doing and what JSON.stringify would obey; without it all is as usual.
    assert_eq!(stage.js("({ a: 1 })").await, json!("hostile"));
    stage.js("delete Object.prototype.toJSON").await;
    let argument = json!({"list": [1, {"__proto__": "x"}, "two"], "n": null});
    let value = stage.page.evaluate(None, "return argument", &argument).await.unwrap();
    assert_eq!(value, argument);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_scripts_is_read_and_acted_on() {
    let options = ContextOptions { javascript: false, ..ContextOptions::default() };
    let stage = Stage::in_context(
        &[("/", "<p>kept</p><a href=/n>go</a><script>document.body.innerHTML = ''</script>"), ("/n", "<p>n")],
        options,
    )
    .await;
    let read = stage.page.extract(None, &[field("text", "p", None, false)]).await.unwrap();
    assert_eq!(read, json!({"text": "kept"}));
    stage.page.click("a", &actions_support::click_within(LONG)).await.unwrap();
    stage.page.wait_for_url("*/n", LONG).await.unwrap();
    assert_eq!(stage.page.text("p").await.unwrap(), "n");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_is_too_large_is_refused() {
    let stage = Stage::of("<p>x").await;
    stage.js("document.querySelector('p').textContent = 'x'.repeat(20 * 1024 * 1024); 0").await;
    let error = stage.page.extract(None, &[field("p", "p", Some("html"), false)]).await.unwrap_err();
    assert_eq!(error.code(), "limit", "{error}");
    stage.close().await;
}
