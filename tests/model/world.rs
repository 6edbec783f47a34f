//! The state of everything, and the steps that change it.

use super::process::{Process, Recovery, Work};
use super::protocol::{Protocol, Scenario};
use super::store::{Data, Lease, PROCESSES, Pushes, Record};
use stateright::Model;

/// The provider: single-use codes and refresh tokens.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Provider {
    pub code_spent: bool,
    /// The refresh token that is good; each renewal makes the next.
    pub refresh: u8,
    /// It revoked what it issued, since the code came twice.
    pub revoked: bool,
}

/// A copy of the callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Copied {
    Unsent,
    Sent,
    SignedIn,
    Failed,
}

/// What users and the provider have seen, for the invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    pub copies: [Copied; 2],
    pub signed_in: bool,
    /// Somebody asked to sign out.
    pub leaving: bool,
    /// They were told that it is done.
    pub left: bool,
    /// The tokens that are refused from then on.
    pub promised: u8,
    /// All who were told of the ending and the store's data were gone at once.
    pub forgotten: bool,
    /// All who knew that the code is spent were gone at once.
    pub code_forgotten: bool,
    pub code_twice: bool,
    pub refresh_twice: bool,
    /// The process that had the lease stood still until it ran out or was lost.
    pub lease_ran_out: bool,
    /// Neither the store nor anybody awake has the session, though a process that stands still may.
    pub unreachable: bool,
    /// A process that stands still has a newer version than the store and all who are awake.
    pub outdated: bool,
    /// Those who had the session at hand let go of it while the store lacked it.
    pub lost: bool,
    /// Tokens that survived a fault were lost afterwards.
    pub tokens_lost: bool,
    /// A session was put back while somebody was awake who knew of its end.
    pub revived: bool,
    /// A session was ended for a refusal that was our own doing.
    pub ended_wrongly: bool,
}

/// A state of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    pub store: Data,
    /// What is left after a fail-over: the store as it was at an earlier moment.
    pub replica: Data,
    pub processes: [Process; PROCESSES],
    pub provider: Provider,
    pub history: History,
    /// Access tokens up to this version of the session have run out.
    pub ran_out: u8,
    pub faults: u8,
    pub renewals: u8,
    pub sign_outs: u8,
}

/// A step. The number is the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    CallbackArrives { copy: u8, at: usize },
    Exchange(usize),
    CreateSession(usize),
    WriteLanding(usize),
    ReadLanding(usize),
    GiveUp(usize),
    Load(usize),
    TakeLease(usize),
    ReloadUnderLease(usize),
    ReadTokens(usize),
    SpendRefreshToken(usize),
    WriteRenewed(usize),
    RevokeTokens(usize),
    EndSession(usize),
    RevokeNewerTokens(usize),
    Hear(usize),
    WriteBackEvicted(usize),
    NoticeSilence(usize),
    Connect { process: usize, canary_found: bool },
    WriteBackEndings(usize),
    WriteBackSessions(usize),
    Settle(usize),
    Start(usize),
    Wake(usize),
    Replicate,
    TimePasses,
    AccessTokensRunOut,
    Crash(usize),
    FailOver,
    Flush,
    RestartEmpty,
    EvictSession,
    EvictTombstone,
    EvictRevocations,
    EvictClaim,
    BreakLink(usize),
    StandStill(usize),
}

/// A protocol and what happens to it.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    pub protocol: Protocol,
    pub scenario: Scenario,
    pub reduction: Reduction,
}

/// Which states count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Equal ones.
    None,
    /// Those, too, that differ in what nothing depends on any more.
    Unseen,
    /// Those, too, that differ in which process is which, or which copy of the callback.
    Full,
}

/// How a request with the session's cookie, or with a token of it, is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200
    Valid,
    /// 401
    Invalid,
    /// 503
    Unavailable,
}

impl World {
    pub fn first(protocol: &Protocol, scenario: &Scenario) -> Self {
        let mut processes = [Process::connected(); PROCESSES];
        for spare in processes.iter_mut().rev().take(scenario.spares.into()) {
            *spare = Process::DEAD;
        }
        let copies = [0, 1].map(|copy| if copy < scenario.callbacks { Copied::Unsent } else { Copied::Failed });
        let mut store = Data::EMPTY;
        let signed_in = scenario.callbacks == 0;
        let mut provider = Provider { refresh: 1, ..Provider::default() };
        if signed_in {
            let record = Record::new(1, Some(1));
            store.session = Some(record);
            provider.code_spent = true;
            processes[0].keep(protocol, record);
            processes[0].created = Some(record);
        }
        let history = History {
            copies,
            signed_in,
            leaving: false,
            left: false,
            promised: 0,
            forgotten: false,
            code_forgotten: false,
            code_twice: false,
            refresh_twice: false,
            lease_ran_out: false,
            unreachable: false,
            outdated: false,
            lost: false,
            tokens_lost: false,
            revived: false,
            ended_wrongly: false,
        };
        let (replica, ran_out, faults, renewals, sign_outs) = (Data::EMPTY, 0, 0, 0, 0);
        Self { store, replica, processes, provider, history, ran_out, faults, renewals, sign_outs }
    }

    /// Tells all processes but the one that wrote.
    pub fn push(&mut self, from: Option<usize>, pushes: Pushes) {
        for (at, process) in self.processes.iter_mut().enumerate() {
            if let Some(link) = process.link.as_mut().filter(|_| from != Some(at)) {
                link.join(pushes);
            }
        }
    }

    pub fn awake(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.alive && !process.still)
    }

    /// The others that this one waits for.
    pub fn others(&self, than: usize) -> impl Iterator<Item = &Process> {
        let others = self.processes.iter().enumerate().filter(move |(at, _)| *at != than);
        others.map(|(_, process)| process).filter(|process| process.alive && !process.still)
    }

    /// Whether the bound has passed: everything is told and written back.
    pub fn is_calm(&self) -> bool {
        self.processes
            .iter()
            .filter(|process| process.alive)
            .all(|process| process.is_proven() && process.believes && !process.still && !process.owes)
    }

    /// How the session's cookie is answered.
    pub fn validate(&self, protocol: &Protocol, at: usize) -> Answer {
        let process = &self.processes[at];
        if protocol.remembered_endings && process.ended {
            return Answer::Invalid;
        }
        if process.believes && process.confirmed {
            return Answer::Valid;
        }
        match (self.store.tombstone, self.store.session) {
            (true, _) => Answer::Invalid,
            (false, Some(_)) => Answer::Valid,
            (false, None) if self.is_absence_doubted(protocol, at) => Answer::Unavailable,
            // It is put back.
            (false, None) if protocol.kept_sessions && process.restorable(protocol, self.ran_out).is_some() => {
                Answer::Valid
            }
            (false, None) => Answer::Invalid,
        }
    }

    /// How one of the session's tokens is answered.
    pub fn validate_token(&self, protocol: &Protocol, at: usize, token: u8) -> Answer {
        let process = &self.processes[at];
        let known = if protocol.remembered_endings { process.revoked } else { 0 };
        match (known | self.store.revoked) & token != 0 {
            true => Answer::Invalid,
            false if self.is_absence_doubted(protocol, at) => Answer::Unavailable,
            false => Answer::Valid,
        }
    }

    /// Whether "not there" is no answer.
    pub fn is_absence_doubted(&self, protocol: &Protocol, at: usize) -> bool {
        let process = &self.processes[at];
        process.recovers(protocol.cautious_start) || (protocol.proven_absence && !process.is_proven())
    }

    /// Whether somebody could put the session back, or the store has it.
    pub fn survives(&self, protocol: &Protocol) -> bool {
        self.store.session.is_some() || self.awake().any(|process| process.restorable(protocol, self.ran_out).is_some())
    }

    /// Whether the store or somebody awake has the tokens of the session's newest version, if it has any.
    pub fn tokens_survive(&self) -> bool {
        let newest = self.awake().map(Process::newest).fold(self.store.session, Option::max);
        let journals = self.awake().filter_map(Process::journal);
        newest.is_some_and(|newest| {
            let own = |record: Record| record.refresh == newest.names;
            newest.names.is_none() || self.store.session.into_iter().chain(journals).any(own)
        })
    }

    /// Whether somebody is signed in who did not ask to leave.
    pub fn is_wanted(&self) -> bool {
        let over = self.history.leaving || self.provider.revoked || self.history.ended_wrongly;
        self.history.signed_in && !over && !self.history.unreachable
    }

    /// Notes that a session was put back. Who is about to hear that the store lost the ending could not say so yet.
    pub fn restored(&mut self, at: usize) {
        let silent = |other: &Process| {
            let lost = other.link.is_none_or(|link| link.tombstone || link.flushed);
            lost || other.owes || other.recovery == Recovery::Endings
        };
        let known = self.others(at).any(|other| other.told && !silent(other));
        self.history.revived |= self.history.left && (known || self.processes[at].told);
    }

    /// Notes who is left that knows.
    fn remember(&mut self, protocol: &Protocol) {
        let promised = self.history.promised;
        let told = self.store.tombstone || self.awake().any(|process| process.told);
        let revoked = self.store.revoked & promised == promised
            || self.awake().any(|process| (process.revoked | process.own_revoked) & promised == promised);
        self.history.forgotten |= self.history.left && !(told && revoked);
        self.history.unreachable |=
            !self.survives(protocol) && self.processes.iter().any(|process| process.newest().is_some());
        let version = |record: Option<Record>| record.map(|record| record.version);
        let newest = self.awake().map(Process::newest).fold(self.store.session, Option::max);
        self.history.outdated |= self.processes.iter().any(|process| version(process.newest()) > version(newest));
        let lease = self.store.lease;
        let holders = self.processes.iter().enumerate().filter(|(_, process)| process.still && process.work.renews());
        self.history.lease_ran_out |= holders.into_iter().any(|(at, _)| lease != Lease::Held(at as u8));
        let spent = self.store.claim.is_some() || self.awake().any(|process| process.claimed.is_some());
        self.history.code_forgotten |= self.provider.code_spent && self.copies_left() && !spent;
    }

    pub fn copies_left(&self) -> bool {
        self.history.copies.iter().any(|copy| matches!(copy, Copied::Unsent | Copied::Sent))
    }

    fn steps(&self, model: &Sessions, actions: &mut Vec<Action>) {
        self.environment(&model.protocol, &model.scenario, actions);
        for (at, process) in self.processes.iter().enumerate() {
            if process.alive && !process.still {
                self.sign_in_steps(&model.protocol, at, actions);
                self.renewal_steps(model, at, actions);
                self.sign_out_steps(model, at, actions);
                self.recovery_steps(&model.protocol, at, actions);
            }
        }
    }

    fn take(&mut self, model: &Sessions, action: Action) {
        use Action as A;
        let (protocol, rotates) = (&model.protocol, model.scenario.rotates);
        match action {
            A::CallbackArrives { copy, at } => self.callback_arrives(protocol, copy, at),
            A::Exchange(at) => self.exchange(protocol, at),
            A::CreateSession(at) => self.create_session(protocol, at),
            A::WriteLanding(at) => self.write_landing(at),
            A::ReadLanding(at) => self.read_landing(at),
            A::GiveUp(at) => self.answer(at, false),
            A::Load(at) => self.load(protocol, at),
            A::TakeLease(at) => self.take_lease(at),
            A::ReloadUnderLease(at) => self.reload(protocol, at),
            A::ReadTokens(at) => self.read_tokens(protocol, at),
            A::SpendRefreshToken(at) => self.spend_refresh_token(rotates, at),
            A::WriteRenewed(at) => self.write_renewed(protocol, at),
            A::RevokeTokens(at) => self.revoke_tokens(protocol, at),
            A::EndSession(at) => self.end_session(at),
            A::RevokeNewerTokens(at) => self.revoke_newer(at),
            A::Hear(at) => self.hear(protocol, at),
            A::WriteBackEvicted(at) => self.write_back_evicted(protocol, at),
            A::NoticeSilence(at) => self.processes[at].believes = false,
            A::Connect { process, canary_found } => self.connect(protocol, process, canary_found),
            A::WriteBackEndings(at) => self.write_back_endings(protocol, at),
            A::WriteBackSessions(at) => self.write_back_sessions(protocol, at),
            A::Settle(at) => self.settle(at),
            environment => self.suffer(protocol, environment),
        }
    }
}

impl Model for Sessions {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::first(&self.protocol, &self.scenario)]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Action>) {
        state.steps(self, actions);
    }

    fn next_state(&self, state: &World, action: Action) -> Option<World> {
        let mut next = *state;
        next.take(self, action);
        let suffered = next.faults != state.faults;
        // A session without tokens ends then.
        let lasts = action != Action::AccessTokensRunOut || state.tokens_survive();
        next.history.lost |=
            state.is_wanted() && state.survives(&self.protocol) && lasts && !next.survives(&self.protocol) && !suffered;
        let wakes = matches!(action, Action::Wake(_));
        let has_tokens = self.protocol.cold_tokens && state.is_wanted() && state.tokens_survive();
        next.history.tokens_lost |= has_tokens && next.is_wanted() && !next.tokens_survive() && !suffered && !wakes;
        next.remember(&self.protocol);
        if self.reduction != Reduction::None {
            next.forget_unseen(self);
        }
        if self.reduction == Reduction::Full {
            next = next.in_order();
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        super::properties::all(&self.scenario)
    }

    /// Where nobody is left who knows, nothing is promised.
    fn within_boundary(&self, state: &World) -> bool {
        !state.history.forgotten && !state.history.code_forgotten
    }
}

impl World {
    /// Gives a lease back. Nothing happens if it is another's.
    pub fn release(&mut self, at: usize, abandoned: bool) {
        if self.store.lease == Lease::Held(at as u8) {
            self.store.lease = if abandoned { Lease::Abandoned } else { Lease::Free };
        }
    }

    pub fn idle(&mut self, at: usize) {
        self.processes[at].work = Work::Idle;
    }

    /// Whether all others are as far as this with writing back.
    pub fn others_reached(&self, than: usize, recovery: Recovery) -> bool {
        self.others(than).all(|other| {
            let hears = other.link.is_some_and(|link| !link.flushed);
            // At the end of the grace what was evicted at its beginning is written back, too.
            let restored =
                recovery < Recovery::Settling || !(other.owes || other.link.is_some_and(Pushes::tell_of_ends));
            hears && restored && other.recovery >= recovery
        })
    }
}
