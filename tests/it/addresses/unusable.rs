//! Contents that cannot be used, and CA certificates.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use super::{Followed, Load, Role, database_on, serve};
use crate::harness::{
    Database,
    keeper::new_folder,
    pki::{Authority, Issued},
    postgres::{Cluster, free_port},
    process::{Process, connect},
    until_so,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_that_cannot_be_used_change_nothing_and_the_log_says_why() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 10).await;
    let standby = Cluster::standby_of(&cluster, &[]);
    standby.catch_up(&cluster).await;
    let role = Role::new(&cluster, &database, "serving", "s3cret-1").await;
    let good = role.url("s3cret-1");
    let url = Followed::with(&good);
    let mut server =
        Process::serve(&["--listen", "127.0.0.1:0", "--database-url-file", &url.name()]);
    let address = server.address();
    server.wait_for("listening to changes");
    let load = Load::on(&connect(&address).await, 10);
    let empty = cluster.url(&cluster.empty_database().await);
    let nobody = format!("postgres://serving:s3cret-4@127.0.0.1:{}/erp", free_port());
    for (text, words) in [
        ("s3cret-0", "is not a usable URL"),
        ("sqlite:other.db", "is not a usable URL"),
        ("postgres://erp:12/s3cret@db/erp", "must be percent-encoded"),
        ("postgres://erp:a#s3cret@db/erp", "'@' comes after '/', '?' or '#'"),
        (&nobody, "Connection refused"),
        (&role.url("s3cret-2"), "password authentication failed for user"),
        (&empty, "leads to a database that nothing can be answered from"),
        (&standby.url(&database.name), "recovery is in progress"),
        ("", "it is empty: expected a URL"),
        (&format!("{good}\n{good}"), "it holds more than one word"),
    ] {
        url.put(text);
        let line = server.wait_for(words);
        assert!(line.contains("ERROR") && line.contains("--database-url-file"), "{line}");
        assert!(line.contains("the previous contents stay in effect"), "{line}");
        load.goes_on().await;
    }
    // Nobody serves from another database in the moment before the rest of its name is written.
    for _ in 0..5 {
        for length in [0, good.len() / 2, good.len() - 1, good.len()] {
            url.write_in_place(&good[..length]);
        }
        load.goes_on().await;
    }
    let old = role.connections().await;
    role.set_password("s3cret-3").await;
    url.put(&role.url("s3cret-3"));
    server.wait_for("--database-url-file has changed, and is in effect from now on");
    role.until_gone(&old).await;
    load.goes_on().await;
    load.end().await;
    assert!(!server.logged.contains("s3cret"), "{}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_costs_the_present_one_no_connection() {
    let [present, full] = [Cluster::start(&[]), Cluster::start(&[])];
    let database = database_on(&present, 10).await;
    let elsewhere = database_on(&full, 1).await;
    let [role, refused] = [
        Role::new(&present, &database, "serving", "secret").await,
        Role::new(&full, &elsewhere, "nobody", "secret").await,
    ];
    elsewhere.execute("ALTER ROLE nobody CONNECTION LIMIT 0").await;
    let url = Followed::with(&role.url("secret"));
    let server = serve(&database, &url, &["--changes", "listen"]).await;
    let load = Load::on(&server.client, 10);
    load.goes_on().await;
    let before = role.connections().await;
    url.put(&refused.url("secret"));
    until_so("it is tried again and again", async || {
        full.log().matches("too many connections for role").count() > 3
    })
    .await;
    load.goes_on().await;
    let there_are = before.split(", ").count();
    let left = role.count(&format!("pid IN ({before})")).await;
    assert_eq!(usize::try_from(left).unwrap(), there_are);
    load.end().await;
}

/// A cluster that speaks TLS with a certificate that may be replaced.
struct Secured {
    cluster: Cluster,
    folder: PathBuf,
}

impl Secured {
    fn start(certificate: &Issued) -> Self {
        let folder = new_folder();
        put(&folder, certificate);
        let [cert, key] = ["cert", "key"].map(|name| folder.join(name).display().to_string());
        let settings =
            ["ssl=on".to_owned(), format!("ssl_cert_file={cert}"), format!("ssl_key_file={key}")];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Self { cluster: Cluster::start(&settings), folder }
    }

    async fn show(&self, certificate: &Issued) {
        put(&self.folder, certificate);
        self.cluster.execute("SELECT pg_reload_conf()").await;
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// Writes files that the cluster's user may read, and nobody else.
fn put(folder: &Path, Issued { certificate, key }: &Issued) {
    let owner = fs::metadata(folder).unwrap();
    for (name, text) in [("cert", certificate), ("key", key)] {
        let (new, path) = (folder.join("new"), folder.join(name));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&new, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::rename(new, path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ca_certificates_are_followed_and_unusable_ones_are_not() {
    let [first, second] = ["first", "second"].map(Authority::new);
    let secured = Secured::start(&first.server());
    let database = database_on(&secured.cluster, 10).await;
    let role = Role::new(&secured.cluster, &database, "serving", "s3cret").await;
    let (url, ca) = (Followed::with(&role.url("s3cret")), Followed::with(&first.pem));
    let server = serve(&database, &url, &["--database-ca-file", &ca.name()]).await;
    let load = Load::on(&server.client, 10);
    load.goes_on().await;
    let old = role.connections().await;
    for pem in ["garbage", &second.pem] {
        ca.put(pem);
        server.running.reload();
        load.goes_on().await;
    }
    // The server's certificate is still one of the first.
    assert!(role.count(&format!("pid IN ({old})")).await > 0);
    secured.show(&second.server()).await;
    role.until_gone(&old).await;
    load.goes_on().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_in_a_file_may_not_lead_to_postgres_once_sqlite_is_open() {
    let database = Database::sqlite().await;
    let url = Followed::with(&database.url);
    let mut server =
        Process::serve(&["--listen", "127.0.0.1:0", "--database-url-file", &url.name()]);
    server.wait_for("\"ready\"");
    url.put("postgres://nobody:s3cret@127.0.0.1:1/nothing");
    server.wait_for("SQLite's file is changed by a restart");
    url.put(&database.url);
    server.wait_for("--database-url-file is what it was, which is in effect");
    assert!(!server.logged.contains("s3cret"), "{}", server.logged);
}
