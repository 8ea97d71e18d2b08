//! What a run came to, each time to live beside the first.

use crate::{recorder::Second, sample::Span, world::World};

/// Statements that are shown.
const SHOWN: i64 = 6;

/// Prints a column for each time to live. `allowed`: statements a second that read tenants.
pub fn print(spans: &[Span], idle: &Second, allowed: f64, is_first_whole: bool) {
    println!("\n{:<34}{:>14}", "", "aim");
    if !is_first_whole {
        println!(
            "holding them took longer than a time to live: the first is no better than the others"
        );
    }
    let table = Table { spans };
    table.row("seconds", "", 0, |span| span.seconds);
    table.ratio("answers/s", "0.97", 0, Span::per_second);
    table.row("  in the worst second", "", 0, |span| span.worst);
    table.ratio("p99 ms", "1.15", 2, Span::p99_millis);
    table.ratio("RSS MiB at most", "1.05", 0, |span| span.rss_mib);
    table.ratio("CPU \u{b5}s an answer", "", 2, |span| {
        span.cpu_nanos / 1000.0 / span.load.latencies.len() as f64
    });
    table.row("statuses in place of answers", "0", 0, |span| span.load.failed as f64);
    table.row("loads", "", 0, |span| span.loads);
    table.row("failed loads", "0", 0, |span| span.failed_loads);
    table.row("stale answers", "0", 0, |span| span.stale);
    table.row("lines logged", "", 0, |span| span.lines as f64);
    table.row("warnings", "0", 0, |span| span.warnings as f64);
    let reads = |span: &Span| span.statements.reads as f64 / span.seconds;
    table.row("statements/s that read tenants", &format!("{allowed:.0}"), 1, reads);
    table.row("statements/s in all", "", 1, |span| span.statements.all as f64 / span.seconds);
    table.row("PostgreSQL's ms/s for them", "", 1, |span| span.statements.millis / span.seconds);
    let cold = |quantile| move |span: &Span| Second::millis(&span.cold.latencies, quantile);
    let of_idle = |quantile| Second::millis(&idle.latencies, quantile);
    table.row("not held: p50 ms", "", 2, cold(0.5));
    table.row("not held: p99 ms", &format!("{:.2}", of_idle(0.99) * 1.2), 2, cold(0.99));
    table.row("not held: statuses", "0", 0, |span| span.cold.failed as f64);
    let (p50, p99, asked) = (of_idle(0.5), of_idle(0.99), idle.latencies.len());
    println!(
        "not held, {asked} on an idle server: p50 {p50:.2} ms, p99 {p99:.2} ms, {} statuses",
        idle.failed
    );
}

struct Table<'a> {
    spans: &'a [Span],
}

impl Table<'_> {
    fn row(&self, name: &str, aim: &str, digits: usize, of: impl Fn(&Span) -> f64) {
        print!("{name:<34}{aim:>14}");
        self.spans.iter().for_each(|span| print!("{:>20.digits$}", of(span)));
        println!();
    }

    /// The same with the ratio to the first.
    fn ratio(&self, name: &str, aim: &str, digits: usize, of: impl Fn(&Span) -> f64) {
        print!("{name:<34}{aim:>14}{:>20.digits$}", of(&self.spans[0]));
        for span in &self.spans[1..] {
            print!(
                "{:>20}",
                format!("{:.digits$} ({:.2})", of(span), of(span) / of(&self.spans[0]))
            );
        }
        println!();
    }
}

/// Prints what the server has asked PostgreSQL most in so many seconds.
pub fn print_most_frequent(world: &mut World, seconds: f64) {
    println!("asked of PostgreSQL most, each second:");
    for (calls, rows, millis, query) in
        world.runtime.block_on(world.statements.most_frequent(SHOWN))
    {
        println!("{:>9.1} of {rows:.0} rows, {millis:.2} ms: {query}", calls as f64 / seconds);
    }
}
