//! What both plans of an edge product cost, and which runs: [`EdgeExplanation`].

use super::cost::{Plan, PlanCost, Setting};
use core::fmt;

/// What both plans of an [`EdgeProduct`](super::EdgeProduct) cost per edge of a forward pass, and which one runs; as text,
/// a table. Estimates are for `f32` on the machine that the rates were measured on (on CPUs, one thread of it), which it
/// names: their ratio is what counts.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeExplanation {
    /// The direct plan.
    pub direct: PlanCost,
    /// The plan in frames; absent if there a path is missing.
    pub edge_frame: Option<PlanCost>,
    /// The plan that runs.
    pub chosen: Plan,
    /// Why.
    pub reason: String,
    /// The largest order kept, if orders are left out.
    pub truncation: Option<usize>,
    pub(super) setting: Setting,
}

impl EdgeExplanation {
    /// The cost of the plan that runs.
    pub fn cost(&self) -> &PlanCost {
        match (&self.edge_frame, self.chosen) {
            (Some(cost), Plan::EdgeFrame) => cost,
            _ => &self.direct,
        }
    }
}

impl fmt::Display for EdgeExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:<12} {:>12} {:>12} {:>10}",
            "plan", "step", "flops/edge", "bytes/edge", "ns/edge"
        )?;
        let plans = [
            ("direct", Some(&self.direct)),
            ("edge frame", self.edge_frame.as_ref()),
        ];
        for (name, cost) in plans {
            let Some(cost) = cost else {
                writeln!(f, "{name:<10} does not have all paths")?;
                continue;
            };
            for step in &cost.steps {
                writeln!(
                    f,
                    "{name:<10} {:<12} {:>12.0} {:>12.0} {:>10.0}",
                    step.name, step.flops, step.bytes, step.nanoseconds
                )?;
            }
            writeln!(
                f,
                "{name:<10} {:<12} {:>12.0} {:>12.0} {:>10.0}",
                "total",
                cost.flops(),
                cost.bytes(),
                cost.nanoseconds()
            )?;
        }
        let Setting {
            shared,
            edges,
            layers,
            rates,
            ..
        } = self.setting;
        let weights = if shared {
            "shared weights"
        } else {
            "weights of every edge"
        };
        let chosen = match self.chosen {
            Plan::Direct => "direct",
            Plan::EdgeFrame => "edge frame",
        };
        write!(
            f,
            "runs: {chosen} ({}); for {weights}, {edges} edges, {layers} layers with one geometry, f32, {}",
            self.reason, rates.machine
        )?;
        if let Some(mmax) = self.truncation {
            write!(f, "; an approximation: orders above {mmax} are left out")?;
        }
        Ok(())
    }
}
