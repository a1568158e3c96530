//! The golden files against an implementation, everything in them.

use super::{Golden, Loss, NAMES, Outcome, Problem, Setup, assert_rms, assert_rows};
use burn::tensor::{Device, Tensor};
use fused_ce_loss::{LossConfig, LossOutput, Plan, Reduction};

/// How the golden files are compared.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub loss: Loss,
    /// Whether the loss has no cancellation in `lse − z_y`; plain operations have.
    pub precise: bool,
    pub plan: Plan,
    pub setup: Setup,
}

struct Check<'a> {
    golden: &'a Golden,
    problem: Problem,
    way: Way,
    bound: f64,
    device: &'a Device,
}

impl Check<'_> {
    fn run(&self, config: LossConfig, goal: &dyn Fn(&LossOutput) -> Tensor<1>) -> Outcome {
        let problem = Problem {
            config,
            ..self.problem.clone()
        };
        problem.run(self.device, self.way.setup, self.way.loss, goal)
    }

    fn gradients(&self, got: &Outcome, goal: &str) {
        for (name, got) in NAMES.iter().zip(&got.gradients) {
            let Some(want) = self.golden.get(&format!("{goal}_grad_{name}")) else {
                assert!(got.is_empty());
                continue;
            };
            if self.way.setup.frozen && *name != "hidden" {
                assert!(got.is_empty());
                continue;
            }
            let what = format!(
                "{} {:?} {:?}: d {goal} / d {name}",
                self.golden.name, self.problem.config.plan, self.way.setup
            );
            // The gradient of the entropy, p (log p + H), itself a difference, is worse conditioned.
            let bound = self.bound * if goal == "entropy" { 3.0 } else { 1.0 };
            assert_rms(got, &want.data, bound, &what);
        }
    }

    /// The rows of a golden array, with zeros where a shift leaves nothing to predict.
    fn rows(&self, key: &str) -> Vec<f64> {
        let values = self.golden.get(key).unwrap_or_else(|| panic!("no {key}"));
        if self.problem.config.shift == 0 {
            return values.data;
        }
        let time = values.shape[1];
        let rows = values.data.chunks(time);
        rows.flat_map(|r| r.iter().copied().chain([0.0; 1]))
            .collect()
    }

    fn weights(&self, key: &str) -> impl Fn(Tensor<1>) -> Tensor<1> + use<> {
        let weights = self.rows(key);
        move |x: Tensor<1>| {
            let data = burn::tensor::TensorData::new(weights.clone(), [weights.len()]);
            let weights = Tensor::<1>::from_data(data, (&x.device(), x.dtype()));
            (x * weights).sum()
        }
    }

    fn everything(&self) {
        let plan = self.problem.config.plan;
        let config = self.problem.config;
        let name = format!("{} {plan:?} {:?}", self.golden.name, self.way.setup);
        let entropy = plan != Plan::ForwardGradient;
        for (reduction, key) in [(Reduction::Mean, "mean"), (Reduction::Sum, "sum")] {
            let got = self.run(config.with_reduction(reduction), &|out| out.loss.clone());
            assert_rows(
                &got.loss,
                &self.golden.list(key),
                self.bound,
                &format!("{name} {key}"),
            );
            if self.golden.get(&format!("{key}_grad_hidden")).is_some() {
                self.gradients(&got, key);
            }
        }
        let rows = config.with_reduction(Reduction::None);
        let upstream = self.weights("upstream");
        let got = self.run(rows, &|out| upstream(out.loss.clone()));
        assert_rows(
            &got.loss,
            &self.rows("loss"),
            self.bound,
            &format!("{name} rows"),
        );
        self.gradients(&got, "rows");
        // Plain operations lose it to the cancellation of lse − z_y.
        if self.golden.name == "peaked" && self.way.precise {
            // The loss of a row that is all but certain, relative to itself.
            for (got, want) in got.loss.iter().zip(self.rows("loss")) {
                let bound = 20.0 * self.bound * want;
                assert!(
                    (got - want).abs() <= bound,
                    "{name}: {got:e}, want {want:e}"
                );
            }
        }
        let coefficients = self.weights("lse_coef");
        let got = self.run(config, &|out| coefficients(out.lse.clone()));
        // The golden files hold the value of ignored rows too.
        let counted: Vec<f64> = got
            .counted
            .iter()
            .map(|&c| f64::from(u8::from(c)))
            .collect();
        let masked = |key| -> Vec<f64> {
            self.rows(key)
                .iter()
                .zip(&counted)
                .map(|(x, c)| x * c)
                .collect()
        };
        assert_rows(&got.lse, &masked("lse"), self.bound, &format!("{name} lse"));
        self.gradients(&got, "lse");
        if entropy {
            let coefficients = self.weights("entropy_coef");
            let config = config.with_entropy(true);
            let got = self.run(config, &|out| {
                coefficients(out.entropy.clone().expect("entropy"))
            });
            // The entropy of one class is zero up to rounding.
            let want = masked("entropy");
            if want.iter().all(|&h| h == 0.0) {
                assert!(got.entropy.iter().all(|h| h.abs() <= self.bound));
            } else {
                assert_rows(&got.entropy, &want, self.bound, &format!("{name} entropy"));
                self.gradients(&got, "entropy");
            }
        }
    }
}

/// Compares everything in the golden files; `bound` is relative.
pub fn check_golden(device: &Device, bound: impl Fn(&Problem) -> f64, way: Way) {
    for golden in Golden::all() {
        let mut problem = golden.problem();
        problem.config.plan = way.plan;
        if problem.config.build().is_err() {
            // Refused with a typed error, see the tests of options.
            assert!(problem.config.softcap.is_some());
            continue;
        }
        let bound = bound(&problem);
        Check {
            golden: &golden,
            problem,
            way,
            bound,
            device,
        }
        .everything();
    }
}

/// 10⁻⁶, and more where products above 20 are rounded by more before anything is done with them.
pub fn single_precision(problem: &Problem) -> f64 {
    1e-6 * (problem.largest_product() / 20.0).max(1.0)
}
