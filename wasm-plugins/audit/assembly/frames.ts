/**
 * How far the reading of a statement has come: a frame for each pair of parentheses, for what FROM
 * means depends on what stands in the same ones, and what holds for the whole statement.
 */
import { activate, dropQueries } from './names'
import { next, word } from './scanner'
import { Word } from './words'

/** Deeper parentheses share the last frame. */
export const FRAMES_MAX = 256

/** What the next token may be: no table, or one after FROM, after INTO, after a command's name. */
export const enum Expected {
  Nothing,
  Source,
  Target,
  Object,
}

/** Stands for a verb where parentheses group tables, as in FROM (a JOIN b ON …). */
export const JOINED = Word.Count

export const verbs = new StaticArray<i32>(FRAMES_MAX)
/** True where a verb may come next. */
export const starts = new StaticArray<bool>(FRAMES_MAX)
/** What a comma leads to. */
export const lists = new StaticArray<i32>(FRAMES_MAX)
/** True between JOIN and its ON or USING. */
export const joins = new StaticArray<bool>(FRAMES_MAX)
/** The query of WITH whose text the frame holds, plus 1; -1: one without a number; 0: none. */
export const bodies = new StaticArray<i32>(FRAMES_MAX)
/** True where WITH has given a name: a comma leads to another, a verb to what it is for. */
export const naming = new StaticArray<bool>(FRAMES_MAX)

/** What holds for the whole statement. */
export class Now {
  static depth: i32 = 0
  static bodiesOpen: i32 = 0
  static expected: Expected = Expected.Nothing
  /** The words before the present token: by them IS DISTINCT FROM is told from FROM. */
  static previous: Word = Word.None
  static beforePrevious: Word = Word.None
  /** True where ON names a table: after INDEX, TRIGGER and POLICY; where TO does: after RULE. */
  static onNames: bool = false
  static toNames: bool = false
  /** How many BEGIN ATOMIC and CASE of a function's body are open. */
  static atomic: i32 = 0
  static recursive: bool = false
  /** The first verb, WITH left aside; None: there is none, Other: none that is known. */
  static kind: Word = Word.None
  /** The data-modifying verbs beside the first, a bit each by their number. */
  static within: u32 = 0
}

/** Begins a statement. */
export function beginStatement(): void {
  Now.depth = 0
  Now.bodiesOpen = 0
  Now.expected = Expected.Nothing
  Now.previous = Word.None
  Now.beforePrevious = Word.None
  Now.onNames = false
  Now.toNames = false
  Now.atomic = 0
  Now.recursive = false
  Now.kind = Word.None
  Now.within = 0
  clearFrame(0)
}

// @ts-ignore: decorator
@inline
export function frame(): i32 {
  return min(Now.depth, FRAMES_MAX - 1)
}

export function clearFrame(at: i32): void {
  verbs[at] = Word.None
  starts[at] = true
  lists[at] = Expected.Nothing
  joins[at] = false
  bodies[at] = 0
  naming[at] = false
}

export function advance(): void {
  Now.beforePrevious = Now.previous
  Now.previous = word
  next()
}

/** Something else than a verb stands where one may. */
export function begun(): void {
  const at = frame()
  if (!starts[at] || naming[at]) return
  starts[at] = false
  if (Now.kind == Word.None && Now.depth == 0) Now.kind = Word.Other
}

export function push(): void {
  const joined = Now.expected == Expected.Source
  if (!joined) Now.expected = Expected.Nothing
  Now.depth++
  clearFrame(frame())
  if (joined) verbs[frame()] = JOINED
}

export function pop(): void {
  Now.expected = Expected.Nothing
  if (Now.depth == 0) return
  const at = frame()
  const body = bodies[at]
  const bare = verbs[at] == Word.None
  bodies[at] = 0
  dropQueries(Now.depth)
  Now.depth--
  const outer = frame()
  if (body != 0) {
    Now.bodiesOpen--
    activate(body - 1)
    starts[outer] = true
    naming[outer] = true
  } else if (bare && Now.depth == 0) {
    // Options in parentheses stand before what EXPLAIN, VACUUM and ANALYZE are for.
    const verb = verbs[0]
    if (verb == Word.Explain) starts[0] = true
    if (verb == Word.Vacuum || verb == Word.Analyze) Now.expected = Expected.Object
  }
}
