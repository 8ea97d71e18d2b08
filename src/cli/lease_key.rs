//! `entitlementd lease-key`.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{
    GOOD,
    output::{CommandResult, print},
};
use crate::{
    config::{LeaseKeyArgs, LeaseKeyCommand, LeaseKeyFileArgs, NamedLeaseKeyArgs, UnusableSetting},
    security::lease_keys::{LeaseKeyFile, LeaseKeys},
};

/// A file of keys is no larger: sixteen keys fit many times.
const MAX_BYTES: u64 = 1 << 20;

pub(crate) fn run(args: LeaseKeyArgs) -> CommandResult {
    match args.command {
        LeaseKeyCommand::New(args) => new(&args),
        LeaseKeyCommand::List(args) => list(&args),
        LeaseKeyCommand::SignWith(args) => sign_with(&args),
        LeaseKeyCommand::Remove(args) => remove(&args),
        LeaseKeyCommand::Jwks(args) => jwks(&args),
    }
}

/// A problem of the file, in words.
fn unusable(path: &Path, problem: impl std::fmt::Display) -> Box<dyn Error> {
    UnusableSetting::new("--lease-key-file", format!("names {}, {problem}", path.display())).into()
}

fn new(LeaseKeyFileArgs { lease_key_file: path }: &LeaseKeyFileArgs) -> CommandResult {
    let mut file = Locked::open(path, true)?;
    let id = file.keys.add_new()?;
    file.save()?;
    print(&id)
}

fn sign_with(NamedLeaseKeyArgs { kid, file }: &NamedLeaseKeyArgs) -> CommandResult {
    let path = &file.lease_key_file;
    let mut file = Locked::open(path, false)?;
    if !file.keys.sign_with(kid) {
        return Err(unusable(path, format!("which holds no key {kid}")));
    }
    file.save()?;
    Ok(GOOD)
}

fn remove(NamedLeaseKeyArgs { kid, file }: &NamedLeaseKeyArgs) -> CommandResult {
    let path = &file.lease_key_file;
    let mut file = Locked::open(path, false)?;
    if file.keys.ids().first() == Some(kid) {
        let problem =
            format!("where {kid} signs: let another one sign first, with lease-key sign-with");
        return Err(unusable(path, problem));
    }
    if !file.keys.remove(kid) {
        return Err(unusable(path, format!("which holds no key {kid}")));
    }
    file.save()?;
    Ok(GOOD)
}

fn list(args: &LeaseKeyFileArgs) -> CommandResult {
    let keys = keys(args)?;
    let line = |(place, id): (usize, &str)| {
        let what = if place == 0 { "signs" } else { "published" };
        format!("{id}  {what}\n")
    };
    print(&keys.ids().enumerate().map(line).collect::<String>())
}

fn jwks(args: &LeaseKeyFileArgs) -> CommandResult {
    print(keys(args)?.published())
}

fn keys(
    LeaseKeyFileArgs { lease_key_file: path }: &LeaseKeyFileArgs,
) -> Result<LeaseKeys, Box<dyn Error>> {
    let text = File::open(path).and_then(read).map_err(|error| cannot(path, error))?;
    LeaseKeys::parse(&text).map_err(|error| unusable(path, error))
}

fn cannot(path: &Path, error: io::Error) -> Box<dyn Error> {
    unusable(path, format!("which cannot be used: {error}"))
}

/// The file, while nobody else changes it.
struct Locked {
    path: PathBuf,
    file: File,
    keys: LeaseKeyFile,
}

impl Locked {
    fn open(path: &Path, creates: bool) -> Result<Self, Box<dyn Error>> {
        let file = lock(path, creates).map_err(|error| cannot(path, error))?;
        let text = read(&file).map_err(|error| cannot(path, error))?;
        if text.trim_ascii_start().starts_with(b"-----") {
            return Err(unusable(path, "which is PEM: only a JWK set is changed"));
        }
        let keys = LeaseKeyFile::parse(&text).map_err(|error| unusable(path, error))?;
        // The file itself, where the path is a link to it.
        let path = fs::canonicalize(path).map_err(|error| cannot(path, error))?;
        Ok(Self { path, file, keys })
    }

    /// Puts the changed file in the place of the other, whole: a server that reads it meanwhile reads
    /// one of the two, and a crash leaves one of them.
    fn save(self) -> Result<(), Box<dyn Error>> {
        let Self { path, file, keys } = self;
        let write = || -> io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("."));
            let mut new = NamedTempFile::new_in(folder)?;
            new.write_all(keys.text().as_bytes())?;
            let before = file.metadata()?;
            new.as_file().set_permissions(before.permissions())?;
            // To whom it belongs decides who may read it. Only root may give a file away.
            let mine = new.as_file().metadata()?;
            if (before.uid(), before.gid()) != (mine.uid(), mine.gid()) {
                std::os::unix::fs::fchown(new.as_file(), Some(before.uid()), Some(before.gid()))?;
            }
            new.as_file().sync_all()?;
            new.persist(&path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| cannot(&path, error))
    }
}

/// Opens and locks the file that is there. Where another process has put a new one in its place
/// meanwhile, that one counts.
fn lock(path: &Path, creates: bool) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(creates).mode(0o600).open(path)?;
        file.lock()?;
        let (held, now) = (file.metadata()?, fs::metadata(path)?);
        if (held.dev(), held.ino()) == (now.dev(), now.ino()) {
            return Ok(file);
        }
    }
}

fn read(file: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(text)
}
