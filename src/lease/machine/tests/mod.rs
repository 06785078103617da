//! Tests of one worker.

mod beside_kcl;
mod creating;
mod later_run;
mod leaving;
mod taken_over;

use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::placing::creating::AncestorRequest;
use crate::lease::machine::{
    Action, Config, Death, Event, Failure, Machine, Offered, SaveError, SaveId, Ticket, Time,
};
use crate::lease::table::model::ModelTables;
use crate::lease::table::{LeaseRow, Permission, Request, Writer};
use crate::shard::position::StartPosition;

const SHARD: &str = "shardId-000000000000";
const STEP: Duration = Duration::from_millis(100);

/// A worker with its tables, without faults: each request is responded to at once.
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
struct World {
    machine: Machine,
    tables: ModelTables,
    now: Time,
    /// The lease table rejects all writes.
    is_throttled: bool,
    /// Writes to the lease table get no response, and are not applied.
    is_hanging: bool,
    hanging: Vec<(Ticket, Request)>,
    /// Requests that need this permission fail for good.
    denied: Option<Permission>,
    /// No list of the shards comes.
    is_list_missing: bool,
    /// The requests that wait for a list.
    unlisted: Vec<AncestorRequest>,
    /// The lineage has a list that names the shard of the row that is there.
    knows_child: bool,
    grants: usize,
    /// The drains that were asked for: whether each is a cut.
    drains: Vec<bool>,
    resumes: usize,
    saved: Vec<Result<(), SaveError>>,
    ends: Vec<LeaseEnd>,
    death: Option<Death>,
}

impl World {
    /// Starts a worker, with the lease of a shard that nobody has.
    fn new(beside_kcl: bool) -> Self {
        let mut world = Self::with_tables(beside_kcl, ModelTables::default());
        world.run(Duration::from_secs(5));
        assert_eq!(world.grants, 1);
        world
    }

    fn with_tables(beside_kcl: bool, tables: ModelTables) -> Self {
        let mut world = Self::idle(beside_kcl, tables);
        world.start();
        world
    }

    /// Starts a worker whose writes get no response.
    fn hanging() -> Self {
        let mut world = Self::idle(true, ModelTables::default());
        world.is_hanging = true;
        world.start();
        world
    }

    fn idle(beside_kcl: bool, tables: ModelTables) -> Self {
        let config = Config {
            worker: "rust".to_owned(),
            stream: "orders".to_owned(),
            failover: Duration::from_secs(10),
            settle: Duration::from_secs(30),
            rest: Duration::from_mins(1),
            move_timeout: Duration::from_secs(30),
            max_leases: None,
            beside_kcl,
        };
        Self {
            machine: Machine::new(config, 0),
            tables,
            now: Time::ZERO,
            is_throttled: false,
            is_hanging: false,
            hanging: Vec::new(),
            knows_child: true,
            grants: 0,
            drains: Vec::new(),
            resumes: 0,
            saved: Vec::new(),
            ends: Vec::new(),
            denied: None,
            is_list_missing: false,
            unlisted: Vec::new(),
            death: None,
        }
    }

    fn start(&mut self) {
        self.event(Event::Offered(Offered {
            shard_id: SHARD.to_owned(),
            start: Checkpoint::Start(StartPosition::TrimHorizon),
            parents: Vec::new(),
            hash_range: None,
        }));
    }

    fn event(&mut self, event: Event) {
        self.machine.on(self.now, event);
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Send(ticket, request @ Request::Write(_)) if self.is_hanging => {
                    self.hanging.push((ticket, request));
                }
                Action::Send(ticket, request) => {
                    let result = if self.denied == Some(request.permission()) {
                        Err(Failure { is_permanent: true, text: "denied".to_owned() })
                    } else if self.is_throttled && matches!(request, Request::Write(_)) {
                        Err(Failure { is_permanent: false, text: "throttled".to_owned() })
                    } else {
                        Ok(self.tables.apply(&request))
                    };
                    self.machine.on(self.now, Event::Responded(ticket, result));
                }
                Action::Grant(_) => self.grants += 1,
                Action::CloseAncestors(request) if request.after_list && self.is_list_missing => {
                    self.unlisted.push(request);
                }
                Action::CloseAncestors(request) => {
                    if self.knows_child && !request.started.is_empty() {
                        self.machine.on(self.now, Event::Closed(vec![SHARD.to_owned()]));
                    }
                    let number = request.number;
                    self.machine.on(self.now, Event::AncestorsClosed { number });
                }
                Action::Drain { cut, .. } => self.drains.push(cut),
                Action::Resume { .. } => self.resumes += 1,
                Action::Saved { result, .. } => self.saved.push(result),
                Action::Revoke { end, .. } => self.ends.push(end),
                Action::Die(death) => self.death = Some(death),
                _ => {}
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += STEP;
            if self.machine.next_wake() <= self.now {
                self.event(Event::Tick);
            }
        }
    }

    fn row(&self) -> LeaseRow {
        self.tables.row(SHARD).expect("a row").clone()
    }

    fn save(&mut self, sequence_number: &str) {
        self.event(Event::Save {
            shard_id: SHARD.to_owned(),
            id: SaveId(sequence_number.parse().expect("a number")),
            checkpoint: after(sequence_number),
            children: Vec::new(),
        });
    }

    fn drained(&mut self, sequence_number: &str) {
        let checkpoint = after(sequence_number);
        self.event(Event::Drained { shard_id: SHARD.to_owned(), checkpoint });
    }

    /// Asks for a hand-over as the leader of a KCL 3 does: the counter stays.
    fn ask_for_hand_over(&mut self) {
        let (from, to) = (Some("rust".to_owned()), Some("java".to_owned()));
        let row = self.row();
        self.tables.put_row(LeaseRow { owner: to, checkpoint_owner: from, ..row });
    }

    /// Moves the counter, as a KCL does.
    fn renew_by_kcl(&mut self) {
        let row = self.row();
        self.tables.put_row(LeaseRow { counter: row.counter + 1, ..row });
    }
}

fn after(sequence_number: &str) -> Checkpoint {
    Checkpoint::After { sequence_number: sequence_number.to_owned(), sub_sequence_number: None }
}

fn put_started_child(tables: &mut ModelTables) {
    let writer = Writer { run: String::new(), counter: 1 };
    tables.put_row(LeaseRow {
        owner: Some("java".to_owned()),
        ..LeaseRow::new("shardId-000000000001", [SHARD].into_iter(), None, after("3"), writer)
    });
}
