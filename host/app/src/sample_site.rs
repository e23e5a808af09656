//! A small shop on loopback, to try a scrape on before anybody else's site is touched.
//!
//! It has what makes a site worth a browser: pages that are linked, a price that only a script fills in, a page that
//! is gone, a redirect by script and a `robots.txt`. Everything is computed from the article's number, so that what a
//! scrape finds can be checked.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;

/// Articles of the shop.
pub const ARTICLES: u32 = 24;

/// Articles on one listing page.
const PER_PAGE: u32 = 8;

const CATEGORIES: [&str; 4] = ["kettles", "lamps", "chairs", "clocks"];
const MAKERS: [&str; 3] = ["Alder", "Birch", "Cedar"];

/// What is known of one article; `None` for a number that the shop does not have.
fn article(number: u32) -> Option<(String, &'static str, &'static str, u32)> {
    if !(1..=ARTICLES).contains(&number) {
        return None;
    }
    let category = CATEGORIES[(number as usize - 1) % CATEGORIES.len()];
    let maker = MAKERS[(number as usize * 7) % MAKERS.len()];
    // Cents between 10.00 and 99.99, spread by a multiplication that meets every remainder.
    let cents = 1_000 + (number * 3_671) % 9_000;
    Some((format!("{maker} {} no. {number}", category.trim_end_matches('s')), category, maker, cents))
}

/// Serves the shop until the returned future is dropped.
pub async fn serve(port: u16) -> std::io::Result<(SocketAddr, impl Future<Output = std::io::Result<()>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let site = Router::new()
        .route("/", get(|| async { Redirect::temporary("/page/1") }))
        .route("/page/{number}", get(listing))
        .route("/article/{number}", get(article_page))
        .route("/old/{number}", get(moved))
        .route(
            "/robots.txt",
            get(|| async { ([(header::CONTENT_TYPE, "text/plain")], "User-agent: *\nDisallow: /private\n") }),
        )
        .fallback(|| async { (StatusCode::NOT_FOUND, Html(page("Not here", "<p>No such page.</p>"))) });
    Ok((address, async move { axum::serve(listener, site).await }))
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"></head><body><h1>{title}</h1>{body}</body></html>"
    )
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, Html(page("Not here", "<p>No such page.</p>"))).into_response()
}

async fn listing(Path(number): Path<u32>) -> Response {
    let pages = ARTICLES.div_ceil(PER_PAGE);
    if !(1..=pages).contains(&number) {
        return missing();
    }
    let first = (number - 1) * PER_PAGE + 1;
    let last = (number * PER_PAGE).min(ARTICLES);
    let mut items = String::new();
    for (number, (name, ..)) in (first..=last).filter_map(|number| Some((number, article(number)?))) {
        items.push_str("<li><a class=\"article\" href=\"/article/");
        items.push_str(&number.to_string());
        items.push_str("\">");
        items.push_str(&name);
        items.push_str("</a></li>");
    }
    let next =
        if number < pages { format!("<a rel=\"next\" href=\"/page/{}\">next</a>", number + 1) } else { String::new() };
    Html(page(&format!("Sample shop, page {number} of {pages}"), &format!("<ul>{items}</ul>{next}"))).into_response()
}

async fn article_page(Path(number): Path<u32>) -> Response {
    let Some((name, category, maker, cents)) = article(number) else { return missing() };
    // The price comes by script, as on many shops: without a browser it is not there.
    let body = format!(
        "<p class=\"category\">{category}</p><p class=\"maker\">{maker}</p>\
         <p class=\"price\" data-cents=\"{cents}\"></p>\
         <script>for (const e of document.querySelectorAll('[data-cents]'))\
         e.textContent = (e.dataset.cents / 100).toFixed(2);</script>"
    );
    Html(page(&name, &body)).into_response()
}

/// The old address of an article: a stub that moves on by script, as documentation sites have them.
async fn moved(Path(number): Path<u32>) -> Response {
    Html(page("Moved", &format!("<script>location.replace('/article/{number}')</script>"))).into_response()
}
