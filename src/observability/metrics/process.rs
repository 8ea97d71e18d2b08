//! What the system says of this process, by the names that every Prometheus client has
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>). Where there is
//! no `/proc` as Linux has it, they are left out.

use super::{MetricSource, Sample};

/// The metrics of the process, without a prefix of ours.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl MetricSource for ProcessMetrics {
    #[cfg(target_os = "linux")]
    fn samples(&self) -> Vec<Sample> {
        linux::samples().unwrap_or_else(|error| {
            // A system that hides them does so for ever.
            tracing::debug!(%error, "the system does not say what the process takes: {error}");
            Vec::new()
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn samples(&self) -> Vec<Sample> {
        Vec::new()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use procfs::{
        ProcResult, boot_time_secs, page_size,
        process::{LimitValue, Process},
        ticks_per_second,
    };

    use crate::observability::metrics::{Sample, Value};

    pub(super) fn samples() -> ProcResult<Vec<Sample>> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let boot = float(boot_time_secs()?);
        let gauge = |name, help, amount| Sample { name, help, value: Value::Gauge(amount) };
        let mut samples = vec![
            Sample {
                name: "process_cpu_seconds",
                help: "User and system CPU time that the process has spent",
                value: Value::CountedSeconds(seconds(stat.utime + stat.stime)),
            },
            gauge(
                "process_resident_memory_bytes",
                "Memory that the process has in RAM",
                float(stat.rss * page_size()),
            ),
            gauge(
                "process_virtual_memory_bytes",
                "Addresses that the process has reserved",
                float(stat.vsize),
            ),
            gauge(
                "process_open_fds",
                "File descriptors that are open",
                float(process.fd_count()? as u64),
            ),
            gauge(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970, as the system has it",
                boot + seconds(stat.starttime),
            ),
        ];
        // Without a limit there is nothing to compare with.
        if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
            let help = "File descriptors that may be open";
            samples.push(gauge("process_max_fds", help, float(most)));
        }
        Ok(samples)
    }

    /// Of ticks of the kernel's clock, which are 10 ms.
    fn seconds(ticks: u64) -> f64 {
        float(ticks) / float(ticks_per_second())
    }

    #[expect(clippy::cast_precision_loss, reason = "nothing that is shown here needs 53 bits")]
    fn float(count: u64) -> f64 {
        count as f64
    }
}
