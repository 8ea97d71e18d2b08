//! What may befall a cluster. These take `&mut self`: only a test that has a cluster to itself can
//! do this to it.

use std::{fs, path::Path, process::Command};

use super::{
    keeper::{command, program, until},
    postgres::Cluster,
};

impl Cluster {
    /// Kills every process of the cluster, which says nothing to clients and writes nothing any
    /// more. What was committed is there after [`Self::restart`].
    pub fn kill_hard(&mut self) {
        // One that is killed in the midst of a page leaves half of it, and full page writes are off
        // here.
        self.hang();
        let processes = self.processes();
        signal("KILL", &processes);
        until("every process has gone", || {
            processes.iter().all(|process| matches!(state(process), None | Some('Z')))
        });
        self.remove_shared_memory();
    }

    /// Stops the cluster as `pg_ctl stop -m immediate` does: nobody is let finish, and nothing is
    /// written any more. What was committed is there after [`Self::restart`].
    pub fn stop_at_once(&mut self) {
        let mut stop = command(&program("pg_ctl"), &self.keeper.folder);
        let stopped = stop.args(["-D", "data", "-m", "immediate", "-s", "stop"]).output().unwrap();
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    }

    /// Starts the cluster again after [`Self::kill_hard`] or [`Self::stop_at_once`], and waits until it accepts connections.
    pub fn restart(&mut self) {
        let logged = self.keeper.log_length();
        self.keeper.start_again();
        self.wait_until_up(logged);
    }

    /// Stops every process of the cluster where it stands. Connections stay open, and new ones are
    /// begun by the kernel, but nobody answers.
    pub fn hang(&mut self) {
        // The postmaster first: then no others are made, and those that end stay in its list.
        stop(&[self.postmaster()]);
        stop(&self.processes());
    }

    /// Lets every process of the cluster go on after [`Self::hang`].
    pub fn resume(&mut self) {
        signal("CONT", &self.processes());
    }

    /// The ids of all processes of the cluster. While it runs, they come and go.
    fn processes(&self) -> Vec<String> {
        let postmaster = self.postmaster();
        let children =
            fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        children.split_whitespace().map(str::to_owned).chain([postmaster]).collect()
    }

    /// The process that makes the others.
    fn postmaster(&self) -> String {
        let id = self.lock_file(0);
        let works_in = fs::read_link(format!("/proc/{id}/cwd")).ok();
        assert_eq!(works_in, Some(self.keeper.folder.join("data")), "the cluster is not running");
        id
    }

    /// A dead cluster leaves a segment behind, which only its next start would remove.
    fn remove_shared_memory(&self) {
        let key_and_id = self.lock_file(6);
        let id = key_and_id.split_whitespace().nth(1).unwrap();
        let removed =
            command(Path::new("ipcrm"), &self.keeper.folder).args(["-m", id]).status().unwrap();
        assert!(removed.success());
    }

    /// A line of the file in which the postmaster says what it holds.
    fn lock_file(&self, line: usize) -> String {
        let text = fs::read_to_string(self.keeper.folder.join("data/postmaster.pid")).unwrap();
        text.lines().nth(line).unwrap().to_owned()
    }
}

/// Stops processes, which stand still when this returns.
pub fn stop(processes: &[String]) {
    signal("STOP", processes);
    until("every process stands", || {
        processes.iter().all(|process| matches!(state(process), None | Some('T' | 'Z')))
    });
}

/// Some may have ended meanwhile, of which `kill` complains.
fn signal(name: &str, processes: &[String]) {
    Command::new("kill").arg(format!("-{name}")).args(processes).output().unwrap();
}

/// The letter that stands for what a process does: T for one that is stopped, Z for one that has
/// ended.
fn state(process: &str) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}
