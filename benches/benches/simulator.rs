//! The speed of the simulated world: an idle one, a busy one without judges, and one seed of the swarm, judged.
//!
//! Criterion prints elements a second: simulated seconds for the idle world, steps for the other two.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tandem_core::Time;
use tandem_sim::plan::{Plan, Span, Workload};
use tandem_sim::run::{Detail, Run};
use tandem_sim::world::World;

/// A seed of the swarm whose plan is of a middle size.
const SEED: u64 = 29;

fn simulator(criterion: &mut Criterion) {
    let idle = Plan {
        duration: Span::seconds(1000),
        workload: workload(0),
        ..plan("idle")
    };
    let mut group = criterion.benchmark_group("simulator");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1000));
    group.bench_function("idle, in simulated seconds", |bencher| {
        bencher.iter(|| Run::new(&idle, Detail::Outcome).finish(|_| {}))
    });

    let busy = Plan {
        duration: Span::seconds(60),
        workload: workload(36_000),
        ..plan("busy")
    };
    group.throughput(Throughput::Elements(through(&busy)));
    group.bench_function("busy and not judged, in steps", |bencher| {
        bencher.iter(|| through(&busy))
    });

    let seed = Plan::of_seed(SEED);
    let steps = Run::new(&seed, Detail::Outcome).finish(|_| {}).steps;
    group.throughput(Throughput::Elements(steps));
    group.bench_function("a seed, judged, in steps", |bencher| {
        bencher.iter(|| Run::new(&seed, Detail::Outcome).finish(|_| {}))
    });
    group.finish();
}

/// Runs the world of a plan to its end; answers how many things were done.
fn through(plan: &Plan) -> u64 {
    let mut world = World::new(plan, false);
    let end = Time::from_micros(plan.duration.as_micros());
    while world.next_at().is_some_and(|at| at <= end) && world.step() {
        while world.poll_entry().is_some() {}
    }
    world.steps()
}

/// Two agents, a proxy, a switch, and all settings as they come.
fn plan(name: &str) -> Plan {
    Plan::parse(&format!("name = \"{name}\"\nseed = 7\nduration = \"1s\"\n")).expect("a plan")
}

fn workload(per_h: u32) -> Workload {
    Workload {
        local_changes_per_h: per_h,
        remote_changes_per_h: per_h / 10,
        configuration_changes_per_h: 0,
    }
}

criterion_group!(benches, simulator);
criterion_main!(benches);
