//! The generators: what every sequence has to be, and answers worked out a second time.

use seq_rnn_parallel_scan::tasks::{
    Batch, EvenPairs, HELD_OUT, Labels, Lengths, ListOps, Majority, MarkedCopy, Parity,
    SelectiveCopy, SymmetricGroup, Task, TaskError, listops,
};

/// Inputs and asked-for answers with their positions, without the padding.
type Sequence = (Vec<u32>, Vec<(usize, u32)>);

fn sequences(batch: &Batch) -> Vec<Sequence> {
    let rows = (0..batch.rows).map(|row| {
        let at = |t: usize| row * batch.time + t;
        let length = batch.lengths[row];
        assert!((length..batch.time).all(|t| !batch.mask[at(t)]));
        let inputs = batch.inputs[at(0)..at(length)].to_vec();
        let asked = (0..length).filter(|&t| batch.mask[at(t)]);
        (inputs, asked.map(|t| (t, batch.targets[at(t)])).collect())
    });
    rows.collect()
}

fn every_task() -> Vec<Box<dyn Task>> {
    let length = Lengths { min: 3, max: 20 };
    let mut tasks: Vec<Box<dyn Task>> = vec![
        Box::new(SelectiveCopy {
            length: 30,
            tokens: 5,
            vocabulary: 9,
        }),
        Box::new(MarkedCopy {
            length: 30,
            tokens: 5,
            vocabulary: 9,
        }),
        Box::new(ListOps {
            max_depth: 5,
            max_args: 4,
            min_length: 8,
            max_length: 60,
        }),
    ];
    for labels in [Labels::Every, Labels::Query] {
        tasks.push(Box::new(Parity { length, labels }));
        tasks.push(Box::new(EvenPairs { length, labels }));
        tasks.push(Box::new(Majority {
            symbols: 5,
            length,
            labels,
        }));
        tasks.push(Box::new(SymmetricGroup {
            degree: 4,
            length,
            labels,
        }));
    }
    tasks
}

#[test]
fn any_batch_can_be_made_alone() {
    for task in every_task() {
        let batches: Vec<Batch> = (0..3).map(|i| task.batch(5, i, 8).unwrap()).collect();
        assert_eq!(batches[2], task.batch(5, 2, 8).unwrap(), "{task:?}");
        for other in [(5, 0), (5, 1), (6, 2), (5, HELD_OUT + 2)] {
            let other = task.batch(other.0, other.1, 8).unwrap();
            assert_ne!(batches[2].inputs, other.inputs, "{task:?}");
        }
        // The first rows do not depend on how many there are.
        let fewer = sequences(&task.batch(5, 2, 3).unwrap());
        assert_eq!(sequences(&batches[2])[..3], fewer);
    }
}

#[test]
fn tokens_and_answers_are_in_range() {
    for task in every_task() {
        let batch = task.batch(1, 0, 64).unwrap();
        assert!(batch.time <= task.max_time(), "{task:?}");
        let (vocabulary, padding) = (task.vocabulary() as u32, task.padding());
        assert!(padding < vocabulary);
        assert!(batch.inputs.iter().all(|&token| token < vocabulary));
        for (row, (inputs, asked)) in sequences(&batch).into_iter().enumerate() {
            assert!(!asked.is_empty(), "{task:?}");
            let filled = &batch.inputs[row * batch.time + inputs.len()..(row + 1) * batch.time];
            assert!(filled.iter().all(|&token| token == padding), "{task:?}");
        }
    }
}

#[test]
fn selective_copy_repeats_the_data_tokens_in_order() {
    let task = SelectiveCopy {
        length: 40,
        tokens: 6,
        vocabulary: 12,
    };
    let (mut tokens, mut places) = ([0u32; 12], [0u32; 40]);
    for (inputs, asked) in sequences(&task.batch(3, 0, 2000).unwrap()) {
        assert_eq!(inputs.len(), 46);
        let data: Vec<u32> = inputs[..40].iter().copied().filter(|&t| t != 11).collect();
        assert!(data.len() == 6 && data.iter().all(|t| (1..=10).contains(t)));
        assert_eq!(inputs[40..], [0; 6]);
        let answers: Vec<(usize, u32)> = (40..).zip(data.iter().copied()).collect();
        assert_eq!(asked, answers);
        data.iter().for_each(|&t| tokens[t as usize] += 1);
        (0..40)
            .filter(|&t| inputs[t] != 11)
            .for_each(|t| places[t] += 1);
    }
    // 12,000 draws: 1,200 of every token, 300 at every place; six standard deviations each.
    assert!(
        tokens[1..=10].iter().all(|n| n.abs_diff(1200) < 200),
        "{tokens:?}"
    );
    assert!(places.iter().all(|n| n.abs_diff(300) < 96), "{places:?}");
}

#[test]
fn marked_copy_repeats_the_data_tokens_in_order() {
    let task = MarkedCopy {
        length: 20,
        tokens: 4,
        vocabulary: 8,
    };
    for (inputs, asked) in sequences(&task.batch(3, 0, 200).unwrap()) {
        assert_eq!(inputs.len(), 28);
        let data: Vec<u32> = inputs[..24].iter().copied().filter(|&t| t != 0).collect();
        assert!(data.len() == 4 && data.iter().all(|t| (1..=6).contains(t)));
        assert_eq!(inputs[24..], [7; 4]);
        assert_eq!(asked, (24..).zip(data).collect::<Vec<_>>());
    }
}

/// Compares the answers of both kinds of labels with a function of the whole prefix.
fn check_prefixes(
    task: impl Fn(Lengths, Labels) -> Box<dyn Task>,
    query: u32,
    answer: impl Fn(&[u32]) -> u32,
) {
    let length = Lengths { min: 1, max: 33 };
    let mut lengths = std::collections::BTreeSet::new();
    let dense = sequences(&task(length, Labels::Every).batch(9, 4, 400).unwrap());
    let asking = sequences(&task(length, Labels::Query).batch(9, 4, 400).unwrap());
    for ((inputs, asked), (queried, one)) in dense.into_iter().zip(asking) {
        let prefixes = (0..inputs.len()).map(|t| (t, answer(&inputs[..=t])));
        assert_eq!(asked, prefixes.collect::<Vec<_>>());
        // The same sequence, whatever is asked about it.
        assert_eq!(queried[..inputs.len()], inputs);
        assert_eq!(queried[inputs.len()..], [query]);
        assert_eq!(one, [(inputs.len(), answer(&inputs))]);
        lengths.insert(inputs.len());
    }
    assert_eq!(lengths.len(), 33, "every length occurs");
}

#[test]
fn parity_is_the_sum_modulo_2() {
    let task = |length, labels| -> Box<dyn Task> { Box::new(Parity { length, labels }) };
    check_prefixes(task, 2, |bits| bits.iter().sum::<u32>() % 2);
}

#[test]
fn even_pairs_counts_neighbours_that_differ() {
    let task = |length, labels| -> Box<dyn Task> { Box::new(EvenPairs { length, labels }) };
    check_prefixes(task, 2, |bits| {
        bits.windows(2).filter(|pair| pair[0] != pair[1]).count() as u32 % 2
    });
}

#[test]
fn majority_prefers_the_largest_of_equals() {
    let task = |length, labels| -> Box<dyn Task> {
        Box::new(Majority {
            symbols: 6,
            length,
            labels,
        })
    };
    check_prefixes(task, 6, |symbols| {
        let count = |s: u32| symbols.iter().filter(|&&other| other == s).count();
        let most = (0..6).map(count).max().unwrap();
        (0..6).rev().find(|&s| count(s) == most).unwrap()
    });
}

#[test]
fn word_problems_compose_permutations() {
    // S₃ in lexicographic order, as images of the points 0, 1, 2.
    let s3 = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let task = |length, labels| -> Box<dyn Task> {
        Box::new(SymmetricGroup {
            degree: 3,
            length,
            labels,
        })
    };
    check_prefixes(task, 6, |word| {
        let walk = |point: usize| word.iter().fold(point, |at, &x| s3[x as usize][at]);
        let product = [walk(0), walk(1), walk(2)];
        s3.iter().position(|p| *p == product).unwrap() as u32
    });
}

#[test]
fn answers_of_balanced_tasks_are_balanced() {
    let length = Lengths::fixed(16);
    let labels = Labels::Query;
    let tasks: [Box<dyn Task>; 3] = [
        Box::new(Parity { length, labels }),
        Box::new(EvenPairs { length, labels }),
        Box::new(SymmetricGroup {
            degree: 3,
            length,
            labels,
        }),
    ];
    for task in tasks {
        let mut counts = vec![0u32; task.classes()];
        for (_, asked) in sequences(&task.batch(2, 0, 12_000).unwrap()) {
            counts[asked[0].1 as usize] += 1;
        }
        let expected = 12_000 / task.classes() as u32;
        assert!(
            counts.iter().all(|n| n.abs_diff(expected) < 330),
            "{task:?} {counts:?}"
        );
    }
}

/// The value of an expression, by recursion and by counting: nothing shared with the crate's.
fn value(tokens: &mut std::slice::Iter<'_, u32>) -> Option<u32> {
    let token = *tokens.next()?;
    if token < 10 {
        return Some(token);
    }
    let mut counts = [0u32; 10];
    while tokens.as_slice().first() != Some(&14) {
        counts[value(tokens)? as usize] += 1;
    }
    tokens.next();
    let total: u32 = counts.iter().sum();
    let digits = || (0..10u32).filter(|&d| counts[d as usize] > 0);
    // The smallest digit with at least n values up to it.
    let nth = |n: u32| (0..10u32).find(|&d| counts[..=d as usize].iter().sum::<u32>() >= n);
    match token {
        10 => digits().min(),
        11 => digits().max(),
        12 if total % 2 == 1 => nth(total / 2 + 1),
        12 => Some((nth(total / 2)? + nth(total / 2 + 1)?) / 2),
        13 => Some((0..10u32).map(|d| d * counts[d as usize]).sum::<u32>() % 10),
        _ => None,
    }
}

#[test]
fn listops_answers_agree_with_two_evaluators() {
    let small = ListOps {
        max_depth: 6,
        max_args: 5,
        min_length: 10,
        max_length: 120,
    };
    for (task, rows) in [(small, 500), (ListOps::lra(), 20)] {
        let batch = task.batch(11, 0, rows).unwrap();
        let mut answers = [0u32; 10];
        for (row, (inputs, asked)) in sequences(&batch).into_iter().enumerate() {
            assert!(inputs.len() > task.min_length && inputs.len() < task.max_length);
            let mut rest = inputs.iter();
            let expected = value(&mut rest).unwrap();
            assert!(rest.as_slice().is_empty());
            assert_eq!(asked, [(inputs.len() - 1, expected)]);
            assert_eq!(listops::evaluate(&inputs).unwrap(), expected);
            let filled = &batch.inputs[row * batch.time..(row + 1) * batch.time];
            assert_eq!(listops::evaluate(filled).unwrap(), expected);
            assert!(depth(&inputs) <= task.max_depth, "depth");
            answers[expected as usize] += 1;
        }
        assert!(rows < 100 || answers.iter().all(|&n| n > 10), "{answers:?}");
    }
}

/// Depth of the deepest node, the root having 1.
fn depth(tokens: &[u32]) -> usize {
    let (mut open, mut deepest) = (0, 0);
    for &token in tokens {
        match token {
            10..=13 => open += 1,
            14 => open -= 1,
            _ => deepest = deepest.max(open + 1),
        }
    }
    deepest
}

#[test]
fn listops_by_hand() {
    let cases = [
        ("7", 7),
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[MIN 4 7 ]", 4),
        ("[MED 1 2 9 8 ]", 5),
        ("[MED 1 2 ]", 1),
        ("[MED 3 9 1 ]", 3),
        ("[SM 9 8 [SM 7 6 ] ]", 0),
        ("( ( ( [MAX 2 ) [MED ( 5 ) 6 ] ) 0 ]", 5),
    ];
    for (text, expected) in cases {
        let tokens = listops::tokenize(text).unwrap();
        assert_eq!(listops::evaluate(&tokens), Ok(expected), "{text}");
    }
    let position = |result: Result<u32, TaskError>| match result {
        Err(TaskError::Malformed { position, .. }) => position,
        other => panic!("{other:?}"),
    };
    for (text, at) in [("", 0), ("]", 0), ("1 2", 1), ("[MAX 1", 2), ("[MAX ]", 1)] {
        let tokens = listops::tokenize(text).unwrap();
        assert_eq!(position(listops::evaluate(&tokens)), at, "{text:?}");
    }
    assert_eq!(position(listops::evaluate(&[10, 1, 15, 14])), 2);
    assert_eq!(position(listops::tokenize("[MAX 1 12 ]").map(|_| 0)), 2);
}

#[test]
fn impossible_settings_are_errors() {
    let labels = Labels::Every;
    let lengths = |min, max| Lengths { min, max };
    let parity = |min, max| Parity {
        length: lengths(min, max),
        labels,
    };
    let copy = |length, tokens, vocabulary| SelectiveCopy {
        length,
        tokens,
        vocabulary,
    };
    let ops = |max_depth, max_args, min_length, max_length| ListOps {
        max_depth,
        max_args,
        min_length,
        max_length,
    };
    let tasks: Vec<(Box<dyn Task>, &str)> = vec![
        (Box::new(copy(4, 5, 16)), "tokens"),
        (Box::new(copy(4, 0, 16)), "tokens"),
        (Box::new(copy(4, 2, 2)), "vocabulary"),
        (Box::new(copy(usize::MAX, 2, 3)), "length"),
        (Box::new(parity(0, 4)), "length.min"),
        (Box::new(parity(5, 4)), "length.min"),
        (Box::new(parity(1, usize::MAX)), "length.max"),
        (Box::new(ops(0, 5, 0, 9)), "max_depth"),
        (Box::new(ops(3, 1, 0, 9)), "max_args"),
        (Box::new(ops(3, 5, 9, 10)), "max_length"),
        (Box::new(ops(2, 5, 7, 20)), "min_length"),
    ];
    for (task, expected) in tasks {
        match task.batch(0, 0, 1) {
            Err(TaskError::Setting { setting, .. }) => assert_eq!(setting, expected, "{task:?}"),
            other => panic!("{task:?}: {other:?}"),
        }
    }
    assert_eq!(parity(1, 4).batch(0, 0, 0), Err(TaskError::NoRows));
    let large = parity(1, 1 << 20).batch(0, 0, 1 << 12);
    assert!(matches!(large, Err(TaskError::TooLarge { .. })));
    // No expression has two or three tokens.
    let unlikely = ops(3, 5, 1, 4).batch(0, 0, 1);
    assert!(matches!(unlikely, Err(TaskError::Unlikely { .. })));
    let error = copy(4, 5, 16).check().unwrap_err().to_string();
    assert_eq!(
        error,
        "SelectiveCopy: tokens: expected at most length = 4, got 5"
    );
}
