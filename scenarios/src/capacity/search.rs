//! The state machine. Its state is what the legs said; the next step is found by going the same way
//! again from the start, which is short, and cannot disagree with what was recorded.

use super::grid::Grid;
use super::outcome::{Bracket, Met, ProbeOutcome, Step};
use super::record::Record;
use reports::result;

/// Bounds of a search. Rates are rounded to the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Between neighbouring rates.
    pub grid_ratio: f64,
    pub start_per_s: f64,
    /// Rates below are not tried.
    pub lowest_per_s: f64,
    /// Rates above are not tried.
    pub highest_per_s: f64,
    /// Legs after which the search gives up.
    pub legs_max: u32,
    /// Legs that may break before the search gives up.
    pub broken_max: u32,
}

impl Settings {
    /// From the throughput of a saturating closed loop: the search begins at 40 % of it, and looks
    /// between 1 % and 150 %.
    pub fn from_saturated(saturated_per_s: f64) -> Self {
        Self {
            grid_ratio: 1.05,
            start_per_s: 0.4 * saturated_per_s,
            lowest_per_s: 0.01 * saturated_per_s,
            highest_per_s: 1.5 * saturated_per_s,
            legs_max: 60,
            broken_max: 3,
        }
    }
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    settings: Settings,
    grid: Grid,
    record: Record,
    /// Lowest rate that the driver did not reach, and what it reached instead.
    not_offered: Option<(i32, f64)>,
    /// How many legs broke, and why the last one did.
    broken: (u32, String),
    probes: Vec<result::ProbeResult>,
}

impl Search {
    /// # Errors
    /// When the rates are not positive and in order (the throughput that they are shares of may have
    /// been 0), or the grid's ratio is not above 1.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let Settings {
            grid_ratio,
            lowest_per_s: lowest,
            start_per_s: start,
            highest_per_s: highest,
            ..
        } = settings;
        anyhow::ensure!(
            grid_ratio > 1.0,
            "neighbouring rates of a search must differ by a ratio above 1, not by {grid_ratio}"
        );
        anyhow::ensure!(
            0.0 < lowest && lowest <= start && start <= highest && highest.is_finite(),
            "a search for capacity begins at a rate between {lowest}/s and {highest}/s, not at {start}/s"
        );
        Ok(Self {
            grid: Grid::new(grid_ratio),
            settings,
            record: Record::default(),
            not_offered: None,
            broken: (0, String::new()),
            probes: Vec::new(),
        })
    }

    /// Legs told so far; the next one is the step of this number.
    pub fn legs(&self) -> u32 {
        self.probes.len() as u32
    }

    /// What to do next. It changes nothing, and says the same until something is told.
    pub fn next(&self) -> Step {
        match self.bracket() {
            Ok(bracket) => Step::Done(bracket),
            Err(Open::Never(why)) => Step::Failed(why),
            Err(Open::Probe(index)) => match self.given_up() {
                Some(why) => Step::Failed(why),
                None => Step::Probe {
                    rate_per_s: self.grid.rate_per_s(index),
                },
            },
        }
    }

    /// What came of the leg that [`Self::next`] asked for. After the end it is ignored.
    pub fn tell(&mut self, outcome: ProbeOutcome) {
        let (Err(Open::Probe(index)), None) = (self.bracket(), self.given_up()) else {
            return;
        };
        let met = outcome.met == Met::Met;
        let why = match outcome.met {
            Met::Met => {
                self.record.add(index, true);
                String::new()
            }
            Met::Missed { why } => {
                self.record.add(index, false);
                why
            }
            Met::NotOffered { reached_per_s } => {
                self.not_offered = Some((index, reached_per_s));
                format!("the driver reached only {reached_per_s:.0}/s")
            }
            Met::Broken { why } => {
                self.broken = (self.broken.0 + 1, why.clone());
                format!("it broke: {why}")
            }
        };
        self.probes.push(result::ProbeResult {
            leg: outcome.leg,
            rate_per_s: self.grid.rate_per_s(index),
            met,
            why,
        });
    }

    /// As it stands in a result, whether it has ended or not.
    pub fn to_result(
        &self,
        scenario: &str,
        subject: &str,
        objective: &result::Objective,
        saturated_per_s: Option<f64>,
    ) -> result::Search {
        let (bracket, ended_why) = match self.next() {
            Step::Done(bracket) => (Some(bracket.clone()), bracket.open_why),
            Step::Failed(why) => (None, Some(why)),
            Step::Probe { .. } => (None, Some("the search was interrupted".to_owned())),
        };
        result::Search {
            scenario: scenario.to_owned(),
            subject: subject.to_owned(),
            objective: objective.clone(),
            grid_ratio: self.settings.grid_ratio,
            probes: self.probes.clone(),
            holds_per_s: bracket.as_ref().map(|bracket| bracket.holds_per_s),
            fails_per_s: bracket.and_then(|bracket| bracket.fails_per_s),
            saturated_per_s,
            ended_why,
        }
    }
}

/// Why there is no bracket yet.
enum Open {
    /// A leg at the rate of this index comes next.
    Probe(i32),
    /// There is none, for this reason.
    Never(String),
}

/// Between which indexes the capacity lies.
struct Ends {
    /// Met by the majority.
    low: i32,
    /// Nothing from here on is probed any more.
    top: i32,
    /// Lowest index that the majority missed.
    missed: Option<i32>,
}

impl Search {
    fn bracket(&self) -> Result<Bracket, Open> {
        let ends = self.bisected(self.climbed()?)?;
        let holds_per_s = self.grid.rate_per_s(self.stepped_down(ends.low)?);
        let fails = ends.missed.map(|missed| self.stepped_up(missed));
        let fails_per_s = fails.transpose()?.map(|index| self.grid.rate_per_s(index));
        let open_why = fails_per_s.is_none().then(|| match self.not_offered {
            Some((_, reached_per_s)) => format!(
                "the driver reaches only {reached_per_s:.0}/s, and the objective is still met at \
                 {holds_per_s:.0}/s"
            ),
            None => format!(
                "the objective is met even at {holds_per_s:.0}/s, the highest rate that is tried"
            ),
        });
        Ok(Bracket {
            holds_per_s,
            fails_per_s,
            open_why,
        })
    }

    fn given_up(&self) -> Option<String> {
        let (broken, why) = &self.broken;
        if *broken > self.settings.broken_max {
            return Some(format!(
                "{broken} legs of the search broke, the last one: {why}"
            ));
        }
        let legs = self.legs();
        let has_had_enough = legs >= self.settings.legs_max;
        has_had_enough.then(|| format!("the search has not come to an end within {legs} legs"))
    }

    fn lowest(&self) -> i32 {
        self.grid.nearest(self.settings.lowest_per_s)
    }

    /// The first index that is not probed: above the highest rate, or beyond the driver.
    fn bound(&self) -> i32 {
        let highest = self.grid.nearest(self.settings.highest_per_s);
        let offered = self.not_offered.map_or(i32::MAX, |(index, _)| index);
        offered.min(highest + 1)
    }

    /// What the majority at an index says; none where it cannot be asked.
    fn decided(&self, index: i32) -> Result<Option<bool>, Open> {
        match self.record.majority(index) {
            None if index < self.bound() => Err(Open::Probe(index)),
            decided => Ok(decided),
        }
    }

    /// From the start in steps that double, upwards after a rate that was met and downwards after
    /// one that was missed or could not be offered, until the direction changes.
    fn climbed(&self) -> Result<Ends, Open> {
        let lowest = self.lowest();
        let mut index = self.grid.nearest(self.settings.start_per_s);
        let (mut low, mut top, mut missed) = (None, None, None);
        let mut stride = 1;
        loop {
            match self.decided(index)? {
                Some(true) => low = Some(index),
                Some(false) => (top, missed) = (Some(index), Some(index)),
                None => top = Some(index),
            }
            match (low, top) {
                (Some(low), Some(top)) => return Ok(Ends { low, top, missed }),
                (Some(_), None) => index += stride,
                (None, _) if index <= lowest => return Err(Open::Never(self.nothing_holds())),
                (None, _) => index = (index - stride).max(lowest),
            }
            stride *= 2;
        }
    }

    fn bisected(&self, ends: Ends) -> Result<Ends, Open> {
        let Ends {
            mut low,
            mut top,
            mut missed,
        } = ends;
        while top - low > 1 {
            let middle = low.midpoint(top);
            match self.decided(middle)? {
                Some(true) => low = middle,
                Some(false) => (top, missed) = (middle, Some(middle)),
                None => top = middle,
            }
        }
        Ok(Ends { low, top, missed })
    }

    /// The highest index from `low` downwards where three of three legs met the objective.
    fn stepped_down(&self, low: i32) -> Result<i32, Open> {
        let lowest = self.lowest();
        for index in (lowest..=low).rev() {
            match self.record.all_met(index) {
                Some(true) => return Ok(index),
                None if index < self.bound() => return Err(Open::Probe(index)),
                _ => {}
            }
        }
        Err(Open::Never(format!(
            "at no rate down to {:.0}/s did three of three legs meet the objective",
            self.grid.rate_per_s(lowest)
        )))
    }

    /// The lowest index from `missed` upwards where three of three legs missed the objective;
    /// `missed` itself where that cannot be asked.
    fn stepped_up(&self, missed: i32) -> Result<i32, Open> {
        for index in missed.. {
            match self.record.all_missed(index) {
                Some(true) => return Ok(index),
                Some(false) => {}
                None if index < self.bound() => return Err(Open::Probe(index)),
                None => break,
            }
        }
        Ok(missed)
    }

    fn nothing_holds(&self) -> String {
        let lowest_per_s = self.grid.rate_per_s(self.lowest());
        match self.not_offered {
            Some((index, reached_per_s)) if index <= self.lowest() => format!(
                "the driver reaches only {reached_per_s:.0}/s, and {lowest_per_s:.0}/s is the lowest \
                 rate that is tried"
            ),
            _ => format!(
                "the objective is missed even at {lowest_per_s:.0}/s, the lowest rate that is tried"
            ),
        }
    }
}
