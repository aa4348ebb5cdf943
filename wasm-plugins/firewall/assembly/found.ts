/**
 * What a pass over the tokens of a statement has found, and the points for shapes of injection in
 * it. Three make a finding: no shape that honest statements have makes one by itself.
 */
import { Slice } from '../../sdk/assembly/slice'
import { Word } from '../../sdk/assembly/sql/words'

/** Points that make a finding. */
export const SUSPICIOUS: i32 = 3

/** Shapes of injection. */
export const enum Shape {
  None,
  Tautology,
  Union,
  Truncation,
  Stacked,
  Delay,
  Catalog,
  Foreign,
  Disguise,
}

const SHAPE_NAMES =
  'none tautology union truncation stacked delay catalog foreign disguise'.split(' ')

export function shapeName(shape: Shape): string {
  return SHAPE_NAMES[shape]
}

/** What was found in the statement that was read last. */
export class Found {
  static points: i32 = 0
  /** The shape that had the most points first. */
  static shape: Shape = Shape.None
  /** What the functions in it do. */
  static effects: i32 = 0
  /** FOR UPDATE, FOR SHARE and the like. */
  static locks: bool = false
  /** INSERT INTO, DELETE FROM, MERGE INTO or UPDATE stands somewhere in it, outside of quotes. */
  static changes: bool = false
  /** READ WRITE, as in BEGIN and SET TRANSACTION. */
  static readWrite: bool = false
  /** PREPARED, or TRANSACTION behind PREPARE. */
  static prepared: bool = false
  /** A condition of WHERE that holds for every row. */
  static wholeWhere: bool = false
  /** A byte, or a quote without its end, with which no statement can be read. */
  static unreadable: bool = false
  /** A letter of an encoding may hide a byte that matters here. */
  static doubtful: bool = false
  /** The last word or value: of SET what it sets. */
  static last: Word = Word.None
  static lastText: Slice = 0
  /** LANGUAGE C, INTERNAL or one that may do anything, as plpython3u. */
  static isNative: bool = false
  /** The words that the second and the third token are. */
  static second: Word = Word.None
  static third: Word = Word.None
  /** The second token is ANALYSE, which EXPLAIN takes for ANALYZE. */
  static isAnalyse: bool = false
  /** The second token is SYSTEM, as in ALTER SYSTEM. */
  static isSystem: bool = false
  /** It may change how texts are read from now on. */
  static setsQuoting: bool = false
  /** It ends in a literal. */
  static endsInLiteral: bool = false
}

let mostPoints: i32 = 0

export function addPoints(shape: Shape, points: i32): void {
  Found.points += points
  if (points <= mostPoints) return
  mostPoints = points
  Found.shape = shape
}

/** Begins with a statement. */
export function clearFound(): void {
  Found.points = 0
  Found.shape = Shape.None
  Found.effects = 0
  Found.locks = false
  Found.changes = false
  Found.readWrite = false
  Found.prepared = false
  Found.wholeWhere = false
  Found.unreadable = false
  Found.doubtful = false
  Found.last = Word.None
  Found.lastText = 0
  Found.isNative = false
  Found.second = Word.None
  Found.third = Word.None
  Found.isAnalyse = false
  Found.isSystem = false
  Found.setsQuoting = false
  Found.endsInLiteral = false
  mostPoints = 0
}
