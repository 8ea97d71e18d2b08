//! Writing a file of what is held.

use std::{
    fs::File,
    io::{BufWriter, Error, Result, Write},
};

use aws_lc_rs::digest::{Context, SHA256};
use prost::Message;

use super::format::{DIGEST, MAGIC, MAX_RECORD, VERSION, kind};
use crate::{cache::FactsCopy, proto::replication::OutdatedFacts, wire};

/// What is written at once.
const BUFFER: usize = 256 << 10;

/// A file that is being written.
pub(super) struct StateWriter {
    file: BufWriter<File>,
    digest: Context,
    bytes: u64,
    max_bytes: u64,
    tenants: u64,
    /// A record, before it is written.
    record: Vec<u8>,
}

impl StateWriter {
    /// Begins one that gets no larger than this.
    pub(super) fn begin(file: File, max_bytes: u64) -> Result<Self> {
        let file = BufWriter::with_capacity(BUFFER, file);
        let (digest, record) = (Context::new(&SHA256), Vec::new());
        let mut writer = Self { file, digest, bytes: 0, max_bytes, tenants: 0, record };
        writer.write(&MAGIC)?;
        writer.write(&VERSION.to_le_bytes())?;
        Ok(writer)
    }

    /// Adds a tenant. `false`: there is no room for it, and it is left out.
    pub(super) fn tenant(
        &mut self,
        FactsCopy { facts, outdated_after }: &FactsCopy,
    ) -> Result<bool> {
        let facts = wire::facts(facts);
        let is_written = match outdated_after.map(wire::instant) {
            None => self.record(kind::TENANT, &facts)?,
            was_so_at => {
                let outdated = OutdatedFacts { facts: Some(facts), was_so_at };
                self.record(kind::OUTDATED_TENANT, &outdated)?
            }
        };
        self.tenants += u64::from(is_written);
        Ok(is_written)
    }

    /// Adds a record. `false`: there is no room for it, and it is left out.
    pub(super) fn record(&mut self, kind: u8, message: &impl Message) -> Result<bool> {
        let length = message.encoded_len();
        // The end and the checksum follow.
        let after = self.bytes + (5 + length + 13 + DIGEST) as u64;
        if length > MAX_RECORD || after > self.max_bytes {
            return Ok(false);
        }
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.push(kind);
        record.extend(u32::try_from(length).map_err(Error::other)?.to_le_bytes());
        message.encode(&mut record).map_err(Error::other)?;
        let written = self.write(&record);
        self.record = record;
        written.map(|()| true)
    }

    /// Ends it, once it is on the disk. Gives how many bytes it has.
    pub(super) fn end(mut self) -> Result<u64> {
        self.write(&[kind::END])?;
        self.write(&(u64::BITS / 8).to_le_bytes())?;
        self.write(&self.tenants.to_le_bytes())?;
        let Self { mut file, digest, bytes, .. } = self;
        let digest = digest.finish();
        file.write_all(digest.as_ref())?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(bytes + digest.as_ref().len() as u64)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
