//! Programs under test: clusters of them as child processes, what they cost, and a client for the
//! questions beside the load.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etched::os::{OsNet, OsRuntime};
use etched::runtime::{Listener, Net, Runtime, timeout};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::kv_client::KvClient;
use etched_proto::etcdserverpb::lease_client::LeaseClient;
use etched_proto::etcdserverpb::maintenance_client::MaintenanceClient;

/// A program that speaks etcd's API and takes its flags.
#[derive(Clone, Debug)]
pub struct Product {
    /// How the tables call it.
    pub name: &'static str,
    path: PathBuf,
    /// What it says of its version.
    pub version: String,
}

impl Product {
    /// Etched as cargo built it, and etcd at `etcd` or on PATH.
    pub fn find(etcd: Option<&str>, only: Option<&str>) -> Vec<Product> {
        let etched = Product::at("etched", Path::new(env!("CARGO_BIN_EXE_etched")));
        let etcd = Product::at("etcd", Path::new(etcd.unwrap_or("etcd")));
        let both = etched.into_iter().chain(etcd);
        let wanted: Vec<Product> = both.filter(|one| only.is_none_or(|only| only == one.name)).collect();
        for product in &wanted {
            println!("{}: {}", product.name, product.version);
        }
        wanted
    }

    fn at(name: &'static str, path: &Path) -> Option<Product> {
        let output = Command::new(path).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = if name == "etched" { "Etched Version: " } else { "etcd Version: " };
        let version = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or("unknown").to_owned();
        Some(Product { name, path: path.to_owned(), version })
    }
}

/// One member's process.
struct Member {
    arguments: Vec<String>,
    log: PathBuf,
    client: String,
    child: Option<Child>,
}

/// A cluster in a directory of its own, removed when it drops.
pub struct Cluster {
    product: Product,
    members: Vec<Member>,
    dir: PathBuf,
}

/// What the members' processes used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time, summed.
    pub cpu: Duration,
    /// Largest resident size of any member, now, in MiB.
    pub resident_mib: u64,
    /// Resident sizes of all members, in KiB.
    pub resident_kib: u64,
    /// The largest it ever was.
    pub peak_mib: u64,
}

impl Cluster {
    /// Starts `size` members and waits until each takes writes.
    pub async fn start(product: &Product, size: usize, dir: &Path) -> Cluster {
        let mut ports = Vec::new();
        for _ in 0..size * 2 {
            ports.push(OsNet.listen("127.0.0.1:0").await.expect("a port"));
        }
        let addresses: Vec<String> = ports.iter().map(Listener::local_address).collect();
        drop(ports);
        let dir = dir.join(format!("versus-{}-{}", product.name, std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        let peer = |n: usize| format!("http://{}", addresses[size + n]);
        let initial: Vec<String> = (0..size).map(|n| format!("m{n}={}", peer(n))).collect();
        let member = |n: usize| {
            let client = format!("http://{}", addresses[n]);
            let flags = [
                ("name", format!("m{n}")),
                ("data-dir", dir.join(format!("m{n}")).display().to_string()),
                ("listen-client-urls", client.clone()),
                ("advertise-client-urls", client),
                ("listen-peer-urls", peer(n)),
                ("initial-advertise-peer-urls", peer(n)),
                ("initial-cluster", initial.join(",")),
                ("quota-backend-bytes", (8_u64 << 30).to_string()),
            ];
            let arguments = flags.map(|(flag, value)| format!("--{flag}={value}")).to_vec();
            let log = dir.join(format!("m{n}.log"));
            Member { arguments, log, client: addresses[n].clone(), child: None }
        };
        let members = (0..size).map(member).collect();
        let mut cluster = Cluster { product: product.clone(), members, dir };
        (0..size).for_each(|n| cluster.launch(n));
        cluster.ready().await;
        cluster
    }

    /// Starts member `n` again, without waiting for it.
    pub fn launch(&mut self, n: usize) {
        let member = &mut self.members[n];
        #[expect(clippy::disallowed_types, reason = "the servers' own log goes to a file")]
        let log = std::fs::File::options().create(true).append(true).open(&member.log).expect("a log");
        let errors = log.try_clone().expect("a second handle");
        let child = Command::new(&self.product.path)
            .args(&member.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("the server starts");
        member.child = Some(child);
    }

    /// Waits until every member has answered a write.
    pub async fn ready(&self) {
        for n in 0..self.members.len() {
            self.ready_one(n).await;
        }
    }

    /// Waits until member `n` has answered a linearizable read.
    pub async fn ready_one(&self, n: usize) {
        let wait = async {
            loop {
                let request = pb::RangeRequest { key: b"ready".to_vec().into(), ..Default::default() };
                if let Some(mut kv) = self.kv(n).await
                    && kv.range(request).await.is_ok()
                {
                    return;
                }
                OsRuntime::sleep(Duration::from_millis(2)).await;
            }
        };
        let log = &self.members[n].log;
        timeout::<OsRuntime, _>(Duration::from_secs(60), wait).await.unwrap_or_else(|| {
            panic!("{} m{n} does not serve; its log is {}", self.product.name, log.display())
        });
    }

    /// Where member `n` serves clients.
    pub fn address(&self, n: usize) -> &str {
        &self.members[n].client
    }

    /// How many members it has.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// A client of member `n`, if it can be reached.
    pub async fn kv(&self, n: usize) -> Option<KvClient<GrpcChannel>> {
        let channel = GrpcChannel::connect::<OsRuntime>(&OsNet, self.address(n)).await.ok()?;
        Some(KvClient::new(channel).max_decoding_message_size(usize::MAX))
    }

    /// The same for the other service.
    pub async fn maintenance(&self, n: usize) -> Option<MaintenanceClient<GrpcChannel>> {
        let channel = GrpcChannel::connect::<OsRuntime>(&OsNet, self.address(n)).await.ok()?;
        Some(MaintenanceClient::new(channel))
    }

    /// The same for leases.
    pub async fn lease(&self, n: usize) -> Option<LeaseClient<GrpcChannel>> {
        let channel = GrpcChannel::connect::<OsRuntime>(&OsNet, self.address(n)).await.ok()?;
        Some(LeaseClient::new(channel).max_decoding_message_size(usize::MAX))
    }

    /// Which member leads.
    pub async fn leader(&self) -> usize {
        loop {
            for n in 0..self.members.len() {
                let Some(mut client) = self.maintenance(n).await else { continue };
                let Ok(status) = client.status(pb::StatusRequest {}).await else { continue };
                let status = status.into_inner();
                if status.header.is_some_and(|header| header.member_id == status.leader) {
                    return n;
                }
            }
            OsRuntime::sleep(Duration::from_millis(5)).await;
        }
    }

    /// `kill -9` of member `n`.
    pub fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.members[n].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `kill -9` of all members, one right after the other.
    pub fn kill_all(&mut self) {
        let mut children: Vec<Child> =
            self.members.iter_mut().filter_map(|member| member.child.take()).collect();
        children.iter_mut().for_each(|child| drop(child.kill()));
        children.iter_mut().for_each(|child| drop(child.wait()));
    }

    /// SIGTERM for member `n`, without waiting for its end.
    pub fn terminate(&mut self, n: usize) {
        if let Some(child) = &self.members[n].child {
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        }
    }

    /// Waits for the end of member `n`; says how.
    pub async fn ended(&mut self, n: usize) -> String {
        let Some(mut child) = self.members[n].child.take() else { return "not running".to_owned() };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => OsRuntime::sleep(Duration::from_millis(1)).await,
                Err(error) => return error.to_string(),
            }
        }
    }

    /// What all members used so far.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for child in self.members.iter().filter_map(|member| member.child.as_ref()) {
            let process = format!("/proc/{}", child.id());
            usage.cpu += cpu(&format!("{process}/stat"));
            let resident = memory_kib(&process, "VmRSS:");
            usage.resident_kib += resident;
            usage.resident_mib = usage.resident_mib.max(resident >> 10);
            usage.peak_mib = usage.peak_mib.max(memory_kib(&process, "VmHWM:") >> 10);
        }
        usage
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
        if std::env::var_os("VERSUS_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// User and system time of a process, by its `stat` file.
pub fn cpu(path: &str) -> Duration {
    /// Linux counts these in hundredths of a second on every architecture we run on.
    const TICK: Duration = Duration::from_millis(10);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The name before it may hold anything but ends with the last bracket.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
    TICK * (ticks(11) + ticks(12))
}

fn memory_kib(process: &str, what: &str) -> u64 {
    let text = std::fs::read_to_string(format!("{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
}
