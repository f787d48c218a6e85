//! The process behind a status: its version, its age, and its last reload.

use std::time::Duration;

use tandem_net::process::{ProcessStatus, ReloadStatus};
use time::OffsetDateTime;

use super::page::{Page, clean};

/// Adds its lines. A program of before has none.
pub(super) fn show(page: &mut Page, process: &ProcessStatus) {
    if process.format == 0 {
        return;
    }
    let mut parts = vec![
        format!("version {}", clean(&process.version)),
        format!("up {}", age(process.now_unix_s - process.started_unix_s)),
    ];
    let reload = process.reload.as_ref();
    parts.extend(reload.map(|reload| format!("file applied {}", utc(reload.applied_unix_s))));
    page.list(&parts);
    if let Some(reload) = reload {
        show_reload(page, reload);
    }
}

fn show_reload(page: &mut Page, reload: &ReloadStatus) {
    if !reload.successful {
        page.fact(&format!(
            "RELOAD FAILED {}: the previous file stays in force",
            utc(reload.at_unix_s)
        ));
        for problem in &reload.problems {
            page.fact(&format!("  {}", clean(problem)));
        }
    }
    if !reload.restart_required.is_empty() {
        let keys: Vec<String> = reload.restart_required.iter().map(|key| clean(key)).collect();
        page.fact(&format!("RESTART REQUIRED for {}", keys.join(", ")));
    }
}

/// `2026-12-01 04:35:51 UTC`.
pub(super) fn utc(unix_s: f64) -> String {
    format!("{} UTC", date_and_time(unix_s))
}

/// `2026-12-01 04:35:51`.
pub(super) fn date_and_time(unix_s: f64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(unix_s as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    format!(
        "{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}",
        u8::from(month)
    )
}

/// `2026-12-01`.
pub(in crate::commands) fn date(unix_s: i64) -> String {
    date_and_time(unix_s as f64)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The two largest units: `3 d 4 h`.
fn age(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reload: ReloadStatus) -> String {
        let process = ProcessStatus {
            format: 1,
            name: "agent-a".into(),
            version: "0.1.0".into(),
            now_unix_s: 1_800_000_000.0,
            started_unix_s: 1_800_000_000.0 - 273_700.0,
            reload: Some(reload),
        };
        let mut page = Page::new(true);
        show(&mut page, &process);
        page.finish()
    }

    #[test]
    fn a_process_shows_version_age_and_when_its_file_was_applied() {
        let reload = ReloadStatus {
            successful: true,
            applied_unix_s: 1_799_999_999.9,
            ..ReloadStatus::default()
        };
        let expected = "version 0.1.0, up 3 d 4 h, file applied 2027-01-15 07:59:59 UTC\n";
        assert_eq!(shown(reload), expected);
        let mut page = Page::new(true);
        show(&mut page, &ProcessStatus::default());
        assert_eq!(page.finish(), "");
    }

    #[test]
    fn a_failed_reload_and_what_needs_a_restart_are_shown() {
        let reload = ReloadStatus {
            at_unix_s: 1_800_000_000.0,
            problems: vec!["agent.toml:3:1: unknown key `nmae`".into()],
            restart_required: vec!["[listen]".into(), "[peer]".into()],
            ..ReloadStatus::default()
        };
        let text = shown(reload);
        let expected = "RELOAD FAILED 2027-01-15 08:00:00 UTC: the previous file stays in force\n  \
            agent.toml:3:1: unknown key `nmae`\nRESTART REQUIRED for [listen], [peer]\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn an_age_has_two_units() {
        let ages = [0.4, 59.0, 61.0, 3600.0, 86_400.0, -5.0].map(age);
        assert_eq!(ages, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 0 h", "0 s"]);
    }
}
