use std::{fs, sync::mpsc::channel};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reading_that_hangs_is_told_of_and_no_other_begins_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "one").unwrap();
    let parse = |text: &str| Ok::<_, Infallible>(text.to_owned());
    let (mut files, value) = ReloadedFiles::open_text("--a-file", path.clone(), parse).unwrap();
    assert_eq!(value, "one");
    let (end, ends) = channel::<()>();
    files.reading = Some(spawn_blocking(move || {
        _ = ends.recv();
        Ok(vec![b"one".to_vec()])
    }));
    fs::write(&path, "two").unwrap();
    // A new reading would find the new text, and end at once.
    assert!(matches!(look_for_a_while(&mut files).await, Found::Moving));
    for _ in 0..2 {
        let Found::Unusable(problem) = look_for_a_while(&mut files).await else {
            panic!("a reading that hangs is no problem");
        };
        let expected = format!("names {}: reading has not ended within 3 s", path.display());
        assert_eq!(problem, expected);
    }
    end.send(()).unwrap();
    assert!(matches!(files.look().await, Found::TheSame));
    assert!(matches!(files.look().await, Found::Moving));
    assert!(matches!(files.look().await, Found::New(text) if text == "two"));
}

async fn look_for_a_while(files: &mut ReloadedFiles<String>) -> Found<String> {
    let passes = tokio::time::advance(READ_TIMEOUT + Duration::from_millis(1));
    tokio::join!(files.look(), passes).0
}
