//! Lines that are damaged anywhere: the link ends, or what is left of them is read. Nothing panics.

use proptest::prelude::*;

use super::*;

const RECORDED: &str = include_str!("../../../tests/previous/peer.jsonl");

/// Receives these bytes in pieces of at most this length. Returns the reports, and why the link ended early.
fn received(bytes: &[u8], piece: usize) -> (Vec<PeerReport>, Option<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut near, far) = tokio::io::duplex(piece);
        let (agent, mut messages) = mpsc::channel(64);
        let identities = Identities {
            own: "agent-b".into(),
            peer: Vec::new(),
        };
        let certificate = agent_a();
        let admitted = AtomicBool::new(false);
        let receiving = receive(far, PATIENT, (&identities, Some(&certificate), &admitted), &agent);
        let (mut reader, mut writer) = tokio::io::split(&mut near);
        let sending = async {
            // The link may be refused before everything is sent.
            let _refused = writer.write_all(bytes).await;
            let _refused = writer.shutdown().await;
        };
        let answer = async {
            let mut answer = Vec::new();
            let _refused = reader.read_to_end(&mut answer).await;
        };
        let ended = async { receiving.await.err() };
        let (why, (), ()) = tokio::join!(ended, sending, answer);
        let mut reports = Vec::new();
        while let Ok(Message::Peer(report)) = messages.try_recv() {
            reports.push(report);
        }
        (reports, why)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_changes_no_report_before_it(
        at in 0..RECORDED.len(),
        len in 0..8_usize,
        put: Vec<u8>,
        piece in 16..9000_usize,
    ) {
        let (whole, why) = received(RECORDED.as_bytes(), piece);
        prop_assert_eq!((whole.len() + 1, why), (RECORDED.lines().count(), None));
        let (head, tail) = RECORDED.as_bytes().split_at(at);
        let damaged = [head, &put, tail.get(len..).unwrap_or_default()].concat();
        let before = head.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
        let (reports, _) = received(&damaged, piece);
        prop_assert!(reports.len() >= before, "{} of {}", reports.len(), before);
        prop_assert_eq!(&reports[..before], &whole[..before]);
    }
}
