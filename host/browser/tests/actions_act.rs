//! Acting as a person would: pointer, keyboard, forms, scrolling.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod actions_support;

use actions_support::{LONG, SHORT, Stage, click_within};
use buddy_browser::actions::{Button, ClickOptions, State};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_a_persons_click() {
    let stage = Stage::of(
        "<div style='height: 3000px'></div><button id=b style='width: 100px; height: 40px; border: 0'>x</button>
         <script>window.seen = [];
         for (const type of ['mousedown', 'mouseup', 'click', 'dblclick', 'auxclick', 'contextmenu'])
           b.addEventListener(type, e => seen.push([type, e.button, e.detail, e.isTrusted, e.offsetX, e.offsetY].join(' ')));
         </script>",
    )
    .await;
    stage.page.click("#b", &click_within(LONG)).await.unwrap();
    assert_eq!(
        stage.js("seen.splice(0)").await,
        json!(["mousedown 0 1 true 50 20", "mouseup 0 1 true 50 20", "click 0 1 true 50 20"])
    );

    let twice = ClickOptions { count: 2, at: Some((3.0, 4.0)), ..click_within(LONG) };
    stage.page.click("#b", &twice).await.unwrap();
    assert_eq!(stage.js("seen.splice(0).at(-1)").await, json!("dblclick 0 2 true 3 4"));

    for (button, number) in [(Button::Right, 2), (Button::Middle, 1)] {
        stage.page.click("#b", &ClickOptions { button, ..click_within(LONG) }).await.unwrap();
        let seen = stage.js("seen.splice(0)").await;
        let clicked = format!("auxclick {number} 1 true 50 20");
        assert!(seen.as_array().unwrap().contains(&json!(clicked)), "{seen}");
    }
    let error = stage.page.click("#b", &ClickOptions { count: 0, ..click_within(LONG) }).await.unwrap_err();
    assert_eq!(error.code(), "invalid");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_that_cannot_be_says_which_condition_was_not_met() {
    let stage = Stage::of(
        "<button id=covered>a</button><button id=off disabled>b</button><button id=gone style='display: none'>c</button>
         <button id=moving style='position: relative'>d</button><p><a id=through style='pointer-events: none'>e</a></p>
         <div class=overlay style='position: fixed; inset: 0; z-index: 9; pointer-events: none'></div>
         <script>let n = 0; setInterval(() => { moving.style.left = (n = (n + 7) % 200) + 'px' }, 5)</script>",
    )
    .await;
    for (selector, words) in [
        ("#none", "no element matches it"),
        ("#off", "<button id=\"off\">b is disabled"),
        ("#gone", "<button id=\"gone\">c is not visible"),
        ("#moving", "is moving"),
        ("#through", "<a id=\"through\">e does not receive the pointer: <p>e covers it"),
    ] {
        let error = stage.page.click(selector, &click_within(SHORT)).await.unwrap_err();
        assert_eq!(error.code(), "timed-out", "{error}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("click `{selector}` did not succeed within 700 ms: ")), "{message}");
        assert!(message.contains(words), "{message}");
    }
    stage.js("document.querySelector('.overlay').style.pointerEvents = 'auto'").await;
    let error = stage.page.click("#covered", &click_within(SHORT)).await.unwrap_err().to_string();
    assert!(
        error.contains("<button id=\"covered\">a does not receive the pointer: <div class=\"overlay\"> covers it"),
        "{error}"
    );

    stage.js("setTimeout(() => document.querySelector('.overlay').remove(), 200); covered.onclick = () => { window.hit = 1 }; 0").await;
    stage.page.click("#covered", &click_within(LONG)).await.unwrap();
    assert_eq!(stage.js("window.hit").await, json!(1));
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b17_an_element_that_is_replaced_all_the_time_is_clicked_once_a_click() {
    let stage = Stage::of(
        "<div id=root></div><script>
         window.clicks = 0;
         const render = () => {
           root.innerHTML = '<button class=buy>Buy</button>';
           root.firstChild.onclick = () => { window.clicks += 1 };
           setTimeout(render, 50);
         };
         setTimeout(render, 100);
         </script>",
    )
    .await;
    for clicks in 1..=10 {
        stage.page.click("text=Buy", &click_within(LONG)).await.unwrap();
        assert_eq!(stage.js("window.clicks").await, json!(clicks));
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b17_an_element_that_goes_on_the_press_is_not_pressed_again() {
    let stage = Stage::of(
        "<ul><li id=a>one</li><li id=b>two</li></ul><script>
         window.downs = 0;
         for (const li of document.querySelectorAll('li')) li.onmousedown = () => { window.downs += 1; li.remove() };
         </script>",
    )
    .await;
    stage.page.click("li", &click_within(LONG)).await.unwrap();
    assert_eq!(stage.js("window.downs").await, json!(1));
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_that_navigates_succeeds() {
    let stage = Stage::with(&[("/", "<a href=/next>go</a>"), ("/next", "<p>next")]).await;
    stage.page.click("a", &click_within(LONG)).await.unwrap();
    let url = stage.page.wait_for_url("*/next", LONG).await.unwrap();
    assert_eq!(url, format!("{}/next", stage.site));
    assert_eq!(stage.page.text("p").await.unwrap(), "next");
    let error = stage.page.wait_for_url("*/never", SHORT).await.unwrap_err().to_string();
    assert_eq!(error, format!("wait-for-url `*/never` did not succeed within 700 ms: the address is {url}"));
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hovering_opens_what_hovering_opens() {
    let stage = Stage::of(
        "<style>menu { display: none } div:hover menu { display: block }</style><div>Menu<menu>open</menu></div>",
    )
    .await;
    stage.page.hover("text=Menu", LONG).await.unwrap();
    stage.page.wait_for("menu", State::Visible, LONG).await.unwrap();
    stage.close().await;
}

/// An input whose value a framework holds: it notes each value set by script in a tracker of its own and ignores input
/// events that bring nothing new, and puts the state's value back after every event that did not change the state.
const CONTROLLED: &str = r"<input id=c value=old><p id=state>old</p><script>
  const input = document.getElementById('c');
  const proto = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value');
  let tracked = input.value;
  let state = input.value;
  Object.defineProperty(input, 'value', {
    configurable: true,
    get() { return proto.get.call(this) },
    set(next) { tracked = String(next); proto.set.call(this, next) },
  });
  const render = () => { input.value = state; document.getElementById('state').textContent = state };
  input.addEventListener('input', () => {
    const now = proto.get.call(input);
    if (now !== tracked) { tracked = now; state = window.upper ? now.toUpperCase() : now }
    queueMicrotask(render);
  });
  setInterval(render, 30);
</script>";

#[tokio::test(flavor = "multi_thread")]
async fn b18_a_controlled_input_takes_what_is_filled_in() {
    let stage = Stage::of(CONTROLLED).await;
    for value in ["new value", "", "späť 👩‍👩‍👧 again"] {
        stage.page.fill("#c", value, LONG).await.unwrap();
        assert_eq!(stage.js("state").await, json!(value));
        assert_eq!(stage.page.text("#state").await.unwrap(), value);
    }
    stage.page.fill("#c", "a", LONG).await.unwrap();
    stage.page.type_text("#c", "Bc é👍!", LONG).await.unwrap();
    assert_eq!(stage.js("state").await, json!("aBc é👍!"));

    stage.js("window.upper = true").await;
    let error = stage.page.fill("#c", "secret", LONG).await.unwrap_err();
    assert_eq!(error.code(), "failed");
    let message = error.to_string();
    assert!(message.contains("the page changed what was entered: 6 characters went in"), "{message}");
    assert!(!message.to_lowercase().contains("secret"), "{message}");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b19_an_editor_takes_what_is_filled_in() {
    let stage = Stage::of(
        "<div id=e contenteditable><p>old <b>words</b></p></div><script>
         window.events = []; window.sent = 0;
         e.addEventListener('beforeinput', ev => events.push(ev.inputType));
         e.addEventListener('keydown', ev => { if (ev.key === 'Enter' && !ev.shiftKey) window.sent += 1 });
         </script>",
    )
    .await;
    stage.page.fill("#e", "first line\nsecond line", LONG).await.unwrap();
    assert_eq!(stage.js("e.innerText.trim()").await, json!("first line\nsecond line"));
    assert_eq!(stage.js("window.sent").await, json!(0));
    assert!(stage.js("events").await.as_array().unwrap().contains(&json!("insertText")));
    stage.page.type_text("#e", " and more", LONG).await.unwrap();
    assert_eq!(stage.page.text("#e").await.unwrap(), "first line second line and more");
    stage.page.fill("#e", "", LONG).await.unwrap();
    assert_eq!(stage.page.text("#e").await.unwrap(), "");

    // An editor that throws away what it is given.
    stage.js("e.addEventListener('input', () => { e.textContent = 'mine' }); 0").await;
    let error = stage.page.fill("#e", "yours", LONG).await.unwrap_err();
    assert!(error.to_string().contains("the page changed what was entered"), "{error}");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_field_is_filled_or_says_what_to_use() {
    let stage = Stage::of(
        "<textarea id=area>x</textarea><input id=mail type=email value=a><input id=number type=number>
         <input id=date type=date><input id=range type=range><input id=short maxlength=3>
         <input id=box type=checkbox><select id=select></select><input id=file type=file><p id=p>text</p>
         <input id=fixed readonly>",
    )
    .await;
    for (selector, value) in
        [("#area", "two\nlines"), ("#mail", "a@b.de"), ("#number", "-1.5"), ("#date", "2024-02-29"), ("#range", "7")]
    {
        stage.page.fill(selector, value, LONG).await.unwrap();
        assert_eq!(stage.js(&format!("document.querySelector('{selector}').value")).await, json!(value));
    }
    stage.page.type_text("#mail", ".eu", LONG).await.unwrap();
    assert_eq!(stage.js("mail.value").await, json!("a@b.de.eu"));
    for (selector, code, words) in [
        ("#short", "failed", "the page changed what was entered: 4 characters went in, the field holds 3"),
        ("#box", "invalid", "use set-checked"),
        ("#select", "invalid", "use select-option"),
        ("#file", "invalid", "use upload"),
        ("#p", "invalid", "neither a form field nor editable"),
        ("#fixed", "timed-out", "is read-only"),
        ("#date", "invalid", "does not take such a value"),
    ] {
        let timeout = if code == "timed-out" { SHORT } else { LONG };
        let error = stage.page.fill(selector, "abcd", timeout).await.unwrap_err();
        assert_eq!(error.code(), code, "{selector}: {error}");
        assert!(error.to_string().contains(words), "{selector}: {error}");
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_chords_reach_the_page() {
    let stage = Stage::of(
        "<form><input id=i value='some text'></form><textarea id=t></textarea><script>
         window.sent = 0; window.keys = [];
         document.forms[0].onsubmit = () => { window.sent += 1; return false };
         addEventListener('keydown', e => keys.push(e.code + (e.ctrlKey ? ' ctrl' : '') + (e.shiftKey ? ' shift' : '')));
         </script>",
    )
    .await;
    stage.page.press(Some("#i"), "Enter").await.unwrap();
    assert_eq!(stage.js("sent").await, json!(1));
    stage.page.press(Some("#i"), "Control+a").await.unwrap();
    stage.page.press(None, "x").await.unwrap();
    assert_eq!(stage.js("i.value").await, json!("x"));
    stage.page.press(None, "Control+Shift+ArrowLeft").await.unwrap();
    stage.page.press(None, "Backspace").await.unwrap();
    assert_eq!(stage.js("i.value").await, json!(""));
    stage.page.press(None, "Tab").await.unwrap();
    assert_eq!(stage.js("document.activeElement.id").await, json!("t"));
    stage.page.type_text("#t", "A\nb", LONG).await.unwrap();
    assert_eq!(stage.js("t.value").await, json!("A\nb"));
    let keys = stage.js("keys").await;
    for key in ["KeyA ctrl", "ArrowLeft ctrl shift", "Tab", "KeyA shift", "Enter", "KeyB"] {
        assert!(keys.as_array().unwrap().contains(&json!(key)), "{key} in {keys}");
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_and_boxes_are_chosen() {
    let stage = Stage::of(
        "<select id=one><option value=a>Apple<option value=b>Pear</select>
         <select id=many multiple><option selected>x<option>y<option>z</select>
         <input type=checkbox id=box><label><input type=radio name=r id=r1 style='position:absolute;opacity:0;width:0;height:0'>One</label>
         <div role=switch aria-checked=false id=switch onclick=\"setTimeout(() => this.setAttribute('aria-checked', 'true'), 50)\">s</div>
         <input type=checkbox id=stubborn onclick='return false'>
         <script>window.changes = 0; addEventListener('change', () => { changes += 1 });
         setTimeout(() => one.add(new Option('Late', 'l')), 200)</script>",
    )
    .await;
    let page = &stage.page;
    let pick = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    assert_eq!(page.select_option("#one", &pick(&["b"])).await.unwrap(), ["b"]);
    assert_eq!(page.select_option("#one", &pick(&["Apple"])).await.unwrap(), ["a"]);
    assert_eq!(page.select_option("#one", &pick(&["l"])).await.unwrap(), ["l"]);
    assert_eq!(page.select_option("#many", &pick(&["y", "z"])).await.unwrap(), ["y", "z"]);
    assert_eq!(page.select_option("#many", &[]).await.unwrap(), Vec::<String>::new());
    assert_eq!(page.select_option("#one", &pick(&["a", "b"])).await.unwrap_err().code(), "invalid");
    assert_eq!(stage.js("changes").await, json!(5));

    page.set_checked("#box", true).await.unwrap();
    page.set_checked("#box", true).await.unwrap();
    assert_eq!(stage.js("box.checked").await, json!(true));
    page.set_checked("#box", false).await.unwrap();
    assert_eq!(stage.js("box.checked").await, json!(false));
    page.set_checked("#r1", true).await.unwrap();
    assert_eq!(stage.js("r1.checked").await, json!(true));
    assert_eq!(page.set_checked("#r1", false).await.unwrap_err().code(), "invalid");
    page.set_checked("#switch", true).await.unwrap();
    let error = page.set_checked("#stubborn", true).await.unwrap_err();
    assert!(error.to_string().contains("it was clicked, but the page did not change it"), "{error}");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_waited_for() {
    let stage = Stage::of(
        "<p id=a>x</p><script>setTimeout(() => { a.style.display = 'none' }, 100); setTimeout(() => a.remove(), 200);
         setTimeout(() => { document.body.innerHTML += '<b>new</b>' }, 300)</script>",
    )
    .await;
    stage.page.wait_for("#a", State::Hidden, LONG).await.unwrap();
    stage.page.wait_for("#a", State::Detached, LONG).await.unwrap();
    stage.page.wait_for("b", State::Attached, LONG).await.unwrap();
    stage.page.wait_for("b", State::Visible, LONG).await.unwrap();
    for (state, words) in [(State::Detached, "is still attached"), (State::Hidden, "is still visible")] {
        let error = stage.page.wait_for("b", state, SHORT).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    stage.close().await;
}

const FEED: &str = r"<div id=feed></div><script>
  let items = 0;
  const more = () => { for (let i = 0; i < 10 && items < LIMIT; i++) {
    const p = document.createElement('p'); p.style.height = '200px'; p.className = 'n' + items++; feed.append(p) } };
  more();
  const grow = (box) => () => { if (box.scrollTop + box.clientHeight > box.scrollHeight - 50) setTimeout(more, 100) };
  addEventListener('scroll', grow(document.scrollingElement)); feed.addEventListener('scroll', grow(feed));
</script>";

#[tokio::test(flavor = "multi_thread")]
async fn scrolling_ends_at_the_end_at_its_goal_or_at_its_bound() {
    let ends = FEED.replace("LIMIT", "35");
    let endless = FEED.replace("LIMIT", "1e9");
    let boxed = format!("<style>body {{ margin: 0 }} #feed {{ height: 100vh; overflow-y: auto }}</style>{ends}");
    let stage = Stage::with(&[("/", &ends), ("/endless", &endless), ("/box", &boxed)]).await;
    let steps = stage.page.scroll(None, 100).await.unwrap();
    assert!(steps > 3, "{steps}");
    assert_eq!(stage.page.count("#feed p").await.unwrap(), 35);

    stage.goto("/endless").await;
    assert_eq!(stage.page.scroll(None, 6).await.unwrap(), 6);
    stage.page.scroll(Some(".n60"), 1000).await.unwrap();
    let there = stage.page.count("#feed p").await.unwrap();
    assert!((60..200).contains(&there), "{there}");

    stage.goto("/box").await;
    stage.page.scroll(None, 100).await.unwrap();
    assert_eq!(stage.page.count("#feed p").await.unwrap(), 35);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elements_box_is_told_in_the_document() {
    let stage = Stage::with(&[
        (
            "/",
            "<body style='margin: 0'><div style='height: 2000px'></div><div id=d style='width: 30px; height: 20px'></div>
             <iframe src=/inner style='position: absolute; left: 100px; top: 2100px; border: 5px solid; padding: 3px'></iframe>",
        ),
        ("/inner", "<body style='margin: 0'><p style='margin: 10px; width: 50px; height: 40px'>x"),
    ])
    .await;
    let found = stage.page.element_box("#d", LONG).await.unwrap();
    assert_eq!((found.x, found.y, found.width, found.height), (0.0, 2000.0, 30.0, 20.0));
    let found = stage.page.element_box("iframe >>> p", LONG).await.unwrap();
    assert_eq!((found.x, found.y, found.width, found.height), (118.0, 2118.0, 50.0, 40.0));
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_at_the_same_time_do_not_take_the_focus_from_each_other() {
    let stage = Stage::of(
        "<input id=one><input id=two><input id=three><button id=b onclick='this.textContent++'>0</button>
         <input id=late disabled>",
    )
    .await;
    let (page, first, second) = (&stage.page, "abcdefghij".repeat(4), "0123456789".repeat(4));
    let clicks = async {
        for _ in 0..5 {
            page.click("#b", &click_within(LONG)).await?;
        }
        Ok(())
    };
    // What waits for its element holds up nobody.
    let waits = page.fill("#late", "x", SHORT);
    let (waited, acted) = tokio::join!(waits, async {
        tokio::try_join!(
            page.type_text("#one", &first, LONG),
            page.type_text("#two", &second, LONG),
            page.fill("#three", "whole", LONG),
            page.press(Some("#three"), "End"),
            clicks
        )
    });
    acted.unwrap();
    assert_eq!(waited.unwrap_err().code(), "timed-out");
    assert_eq!(
        stage.js("[one.value, two.value, three.value, b.textContent]").await,
        json!([first, second, "whole", "5"])
    );
    stage.close().await;
}
