//! Workers that misbehave: each costs itself, and nobody else.

use skep_common::ids::{RequestId, SessionId};
use skep_common::protocol::{Action, Command};

use super::*;

#[tokio::test]
async fn g13_garbage_on_the_report_pipe_is_survived() {
    let script = r#"
printf 'not json\n[]\n{"type":"dance"}\n{"type":"ack"}\n\000\377\376\n'
printf '{"type":"heartbeat","journal_stalled_ms":0}\n'
hello; hello
printf '{"type":"head","session":"x"}\n{"type":"hea'
printf 'rtbeat","journal_stalled_ms":5000}\n'
serve"#;
    let mut bed = Bed::start(script, "");
    bed.up(FIRST).await;
    let seen = async {
        while bed.info(FIRST).journal_stalled_ms != 5_000 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, seen).await.expect("the heartbeat after the garbage is heard");
    bed.stop().await;
}

#[tokio::test]
async fn g13_a_hello_of_another_worker_epoch_or_protocol_is_none() {
    let script = r#"
hello | sed s/remote/other/
hello | sed 's/"epoch":1/"epoch":9/'
hello | sed 's/"protocol":1/"protocol":7/'
serve"#;
    let mut bed = Bed::start(script, "restart.hello_timeout = '500 ms'");
    let (cause, _) = bed.down(FIRST).await;
    assert!(cause.contains("no hello"), "{cause}");
    bed.stop().await;
}

#[tokio::test]
async fn g13_an_endless_line_costs_bounded_memory() {
    let mut bed = Bed::start("head -c 200000000 /dev/zero\necho\nhello\nserve", "");
    bed.up(FIRST).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100_000, "{peak} KiB");
    bed.stop().await;
}

#[tokio::test]
async fn p20_a_flood_on_stderr_fills_its_log_and_nothing_else() {
    let toml = "logs.max_bytes = '64 KiB'\nlogs.files = 2";
    let mut bed = Bed::start("yes 'a line of noise' | head -c 20000000 >&2\nhello\nserve", toml);
    bed.up(FIRST).await;
    let home = bed.stop().await;
    let logs = std::fs::read_dir(home.paths.logs()).unwrap();
    let bytes: u64 = logs.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!((1..=200_000).contains(&bytes), "{bytes} bytes");
}

#[tokio::test]
async fn p20_a_workers_log_is_rotated_by_whole_lines_with_every_byte_kept() {
    let mut noise = Vec::new();
    for line in 0..9_000_usize {
        noise.extend_from_slice(format!("{line}\r\t").as_bytes());
        // No text at all, and no line but the one that ends here.
        noise.extend_from_slice(&[0xff, 0xfe, 0, 0xc3]);
        noise.extend(std::iter::repeat_n(b'x', line * 7 % 190));
        noise.push(b'\n');
    }
    noise.extend_from_slice(b"a last line without its end");
    let kept = async |files: usize| {
        let home = Home::new();
        std::fs::write(home.path("noise"), &noise).unwrap();
        let toml = format!("logs.max_bytes = '64 KiB'\nlogs.files = {files}");
        let mut bed = home.start("cat \"$home/noise\" >&2\nexit 78", &toml);
        bed.reaches(FIRST, WorkerState::Parked).await;
        let home = bed.stop().await;
        let log = home.paths.worker_log(&worker(FIRST)).to_str().unwrap().to_owned();
        let numbered = (1..files).map(|number| format!("{log}.{number}"));
        let newest_first =
            std::iter::once(log.clone()).chain(numbered).map_while(|path| std::fs::read(path).ok());
        newest_first.collect::<Vec<Vec<u8>>>()
    };
    let files = kept(50).await;
    assert!(files.len() > 10, "{} files", files.len());
    assert!(files.iter().all(|file| file.len() <= 64 * 1024), "a file is too long");
    assert!(files[1..].iter().all(|file| file.ends_with(b"\n")), "a line is torn");
    assert_eq!(files.into_iter().rev().collect::<Vec<_>>().concat(), noise);

    let files = kept(3).await;
    assert_eq!(files.len(), 3);
    let kept = files.into_iter().rev().collect::<Vec<_>>().concat();
    assert!(noise.ends_with(&kept), "what is kept is the end");
    assert_eq!(noise[noise.len() - kept.len() - 1], b'\n', "the first line is whole");
}

#[tokio::test]
async fn p11_what_a_worker_leaves_behind_is_gone_before_its_end_is_told() {
    // Two forks, a session of its own, no environment, deaf to TERM, its pipes closed.
    let script = r#"
env -i setsid sh -c "trap '' TERM HUP; echo \$\$ > '$home/stray'; exec sleep 1000 </dev/null >/dev/null 2>&1" &
hello
serve"#;
    let mut bed = Bed::start(script, NO_DELAY);
    let process = bed.up(FIRST).await;
    let stray = process_in(&bed.home.path("stray")).await;
    kill(&process);
    bed.down(FIRST).await;
    assert!(!is_alive(&stray));
    bed.up(FIRST).await;
    let stray = process_in(&bed.home.path("stray")).await;
    bed.stop().await;
    assert!(!is_alive(&stray));
}

#[tokio::test]
async fn p12_the_exit_is_told_though_a_descendant_holds_the_pipes() {
    let script = "sh -c 'trap \"\" TERM; echo $$ > $0; exec sleep 1000' $home/stray &\nhello\nserve";
    let mut bed = Bed::start(script, NO_DELAY);
    let process = bed.up(FIRST).await;
    let stray = process_in(&bed.home.path("stray")).await;
    kill(&process);
    timeout(Duration::from_secs(5), bed.down(FIRST)).await.expect("well before anybody lets go by itself");
    assert!(!is_alive(&stray));
    bed.stop().await;
}

#[tokio::test]
async fn style16_a_worker_that_does_not_read_is_busy_and_then_gone() {
    let mut bed = Bed::start("hello\nexec sleep 1000", NO_DELAY);
    let process = bed.up(FIRST).await;
    let id = worker(FIRST);
    let command = || {
        let session = SessionId::random();
        let padding = "x".repeat(64 * 1024);
        let action = Action::ReleaseQueue { session, via: padding };
        Command::Request { id: RequestId::random(), action }
    };
    let full = async {
        loop {
            match bed.pool.send(&id, command()) {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, full).await.unwrap(), SendError::Busy);
    kill(&process);
    bed.down(FIRST).await;
    bed.stop().await;
}

#[tokio::test]
async fn no_acknowledgement_is_lost_when_the_consumer_lags() {
    let script = r#"
hello
i=0
while [ $i -lt 3000 ]; do
    printf '{"type":"ack","id":"00000000-0000-4000-8000-%012d","reply":{"result":"done","head":{"seq":1,"segment":1,"bytes":1,"epoch":1}}}\n' $i
    printf '{"type":"head","session":"00000000-0000-4000-8000-000000000001","head":{"seq":%d,"segment":1,"bytes":1,"epoch":1}}\n' $((i + 1))
    i=$((i + 1))
done
touch $home/done
serve"#;
    let mut bed = Bed::start(script, "");
    bed.up(FIRST).await;
    let (mut acks, mut last) = (Vec::new(), 0);
    while acks.len() < 3000 || last < 3000 {
        bed.until("a report", |event| {
            match event {
                PoolEvent::Report { report: Report::Ack { id, .. }, .. } => acks.push(id.to_string()),
                PoolEvent::Report { report: Report::Head { head, .. }, .. } => {
                    assert!(head.seq > last);
                    last = head.seq;
                }
                _ => return None,
            }
            Some(())
        })
        .await;
    }
    let expected: Vec<String> = (0..3000).map(|i| format!("00000000-0000-4000-8000-{i:012}")).collect();
    assert_eq!(acks, expected);
    bed.stop().await;
}
