//! What the image starts: the program with the variables, the user and the folder of
//! `deploy/Containerfile`.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::harness::process::{self, Process, until_serving};

/// What follows this word at the beginning of a line.
fn instruction(word: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/Containerfile");
    let text = fs::read_to_string(path).unwrap();
    let last = text.lines().filter_map(|line| line.strip_prefix(word)).next_back();
    last.unwrap_or_else(|| panic!("no {word}")).trim().to_owned()
}

/// The image's folder, and its program in it, as its user starts it.
struct Image {
    folder: TempDir,
}

impl Image {
    fn new() -> Self {
        assert_eq!(instruction("WORKDIR "), instruction("VOLUME "));
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_entitlementd"), folder.path().join("entitlementd")).unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder }
    }

    /// The command, with a free port in place of the image's.
    fn command(&self) -> Command {
        let work = self.folder.path().join("work");
        let mut command = process::program_at(self.folder.path().join("entitlementd"));
        command.current_dir(&work);
        let variable = instruction("ENV ");
        let (name, value) = variable.split_once('=').unwrap();
        command.env(name, value.replace(":50051", ":0"));
        if fs::metadata(&work).unwrap().uid() == 0 {
            let user = instruction("USER ").split_once(':').unwrap().0.parse().unwrap();
            chown(&work, Some(user), Some(user)).unwrap();
            command.uid(user).gid(user);
        }
        command
    }
}

#[test]
fn an_image_that_is_just_run_says_what_to_set() {
    assert_eq!(instruction("CMD "), "[\"serve\"]");
    let image = Image::new();
    let output = image.command().arg("serve").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in ["0.0.0.0:0", "--tls-cert and --tls-key", "--insecure=data"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_may_go_unprotected_serves_from_a_database_in_its_own_folder() {
    let image = Image::new();
    let mut command = image.command();
    command.env("ENTITLEMENTD_INSECURE", "data,callers");
    let mut server = Process::start(command, "json", &[]);
    let address = server.address();
    let port = address.strip_prefix("0.0.0.0:").unwrap_or_else(|| panic!("{address}"));
    until_serving(&format!("127.0.0.1:{port}")).await;
    assert!(image.folder.path().join("work/entitlementd.db").exists());
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(30)), 0, "{}", server.logged);
}
