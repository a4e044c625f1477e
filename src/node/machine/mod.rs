//! What the machine has, and how busy it is.

use nvml_wrapper::Nvml;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::manifest::{Capabilities, Gpu};
use crate::view::Load;

#[cfg(test)]
mod tests;

const MAX_GPUS: u32 = 64;
const GIB: u64 = 1 << 30;

/// The machine that the node runs on, as far as the node may use it: a container's limits count.
///
/// Not for the event loop's own thread where GPUs are: their driver may take milliseconds to answer.
#[derive(Debug)]
pub struct Machine {
    /// `None` on a system whose figures cannot be read.
    system: Option<System>,
    /// `None` when the vendor's library is not there.
    nvml: Option<Nvml>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// Looks at the machine for the first time.
    pub fn new() -> Self {
        Self { system: System::new_with_specifics(what_is_read()).ok(), nvml: Nvml::init().ok() }
    }

    /// What the machine has.
    pub fn capabilities(&self) -> Capabilities {
        let total = self.system.as_ref().map_or(0, System::total_memory);
        Capabilities {
            cpu_cores: std::thread::available_parallelism()
                .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
            memory_bytes: self.cgroup().map_or(total, |(limit, _)| limit.min(total)),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            gpus: self.gpus(),
        }
    }

    /// How busy the machine was since the last sample (at least 200 ms ago), with the node's own count of requests.
    pub fn sample(&mut self, in_flight: u32) -> Load {
        let (mut cpu, mut available) = (0.0, 0);
        if let Some(system) = &mut self.system {
            system.refresh_specifics(what_is_read());
            (cpu, available) = (system.global_cpu_usage() / 100.0, system.available_memory());
        }
        Load {
            busy: cpu.max(self.gpu_busy()).clamp(0.0, 1.0),
            available_memory: self.cgroup().map_or(available, |(_, free)| free.min(available)),
            in_flight,
        }
    }

    /// The limit of the container's memory, and what is left of it.
    fn cgroup(&self) -> Option<(u64, u64)> {
        self.system
            .as_ref()?
            .cgroup_limits()
            .filter(|limits| limits.total_memory > 0)
            .map(|limits| (limits.total_memory, limits.free_memory))
    }

    fn gpus(&self) -> Vec<Gpu> {
        let Some(nvml) = &self.nvml else { return Vec::new() };
        let gpu = |index| {
            let device = nvml.device_by_index(index).ok()?;
            Some(Gpu { name: device.name().ok()?, memory_bytes: device.memory_info().map_or(0, |m| m.total) })
        };
        (0..nvml.device_count().unwrap_or(0).min(MAX_GPUS)).filter_map(gpu).collect()
    }

    /// The share of time in which the busiest GPU worked.
    fn gpu_busy(&self) -> f32 {
        let Some(nvml) = &self.nvml else { return 0.0 };
        let percent = |index| nvml.device_by_index(index).ok()?.utilization_rates().ok().map(|used| used.gpu);
        let busiest = (0..nvml.device_count().unwrap_or(0).min(MAX_GPUS)).filter_map(percent).max();
        f32::from(u8::try_from(busiest.unwrap_or(0)).unwrap_or(100)) / 100.0
    }
}

/// Two small files of the kernel; processes, disks and frequencies cost a thousand times as much.
fn what_is_read() -> RefreshKind {
    RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing().with_usage())
        .with_memory(MemoryRefreshKind::nothing().with_ram())
}

/// 1 with a GPU, 2 with at least 4 cores and 8 GiB, else 3.
pub fn tier(capabilities: &Capabilities) -> u8 {
    // Firmware and kernel keep some of the memory that was paid for.
    let eight_gib = 8 * GIB - 8 * GIB / 10;
    if !capabilities.gpus.is_empty() {
        1
    } else if capabilities.cpu_cores >= 4 && capabilities.memory_bytes >= eight_gib {
        2
    } else {
        3
    }
}
