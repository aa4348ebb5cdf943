/**
 * A rule of the configuration, and whether it is about a statement. All that it names must fit. A
 * rule that refuses fits as soon as anything in the statement does; one that lets pass only where
 * everything does: a statement that reads one table which is allowed and one which is not is not
 * allowed.
 */
import { Bytes } from '../../sdk/assembly/bytes'
import { equals, isText, lengthOf, part, ptrOf, Slice } from '../../sdk/assembly/slice'
import { Now } from '../../sdk/assembly/sql/frames'
import { Purpose, purposeOf, Statements } from '../../sdk/assembly/sql/statements'
import { Word, wordAt } from '../../sdk/assembly/sql/words'
import { callAt, calls, hasMoreCalls } from './calls'
import { Globs, matchesAny } from './glob'

export const enum Action {
  Deny,
  Allow,
  /** Allow, and none of the checks. */
  Trust,
}

/** Of a FunctionCall, which is no statement and has no text. */
export const FUNCTION_CALL: u64 = 1 << 63

/** What is known of a statement, or of a FunctionCall, that rules may ask for. */
export class Subject {
  static verbs: u64 = 0
  static purposes: i32 = 0
  /** Empty where no rule asks for it. */
  static normal: Bytes = new Bytes()
  static fingerprint: u64 = 0
  /** False where the normal form is longer than rules read. */
  static isNormal: bool = false
  static user: Bytes = new Bytes()
  static database: Bytes = new Bytes()
}

/** Takes the verbs of a statement and what they are for, those within it too. */
export function readVerbs(statements: Statements): void {
  Subject.verbs = 0
  Subject.purposes = 0
  addVerb(statements.kind)
  // SELECT … INTO is CREATE TABLE … AS by another name.
  if (Now.isInto) addVerb(Word.Create)
  if (statements.inner != Word.None) addVerb(statements.inner)
  for (let verb = Word.Insert; verb <= Word.Merge; verb++) {
    if (statements.isWithin(verb)) addVerb(verb)
  }
}

function addVerb(verb: Word): void {
  Subject.verbs |= (<u64>1) << verb
  const purpose = verb == Word.Select && !Now.isInto ? Purpose.Reading : purposeOf(verb)
  Subject.purposes |= 1 << purpose
}

export function takeFunctionCall(): void {
  Subject.verbs = FUNCTION_CALL
  Subject.purposes = 1 << Purpose.Running
}

@final
export class Rule {
  name: string = ''
  /** For log lines and metrics. */
  nameBytes: Bytes = new Bytes()
  action: Action = Action.Deny
  verbs: u64 = 0
  purposes: i32 = 0
  tables: Globs | null = null
  functions: Globs | null = null
  patterns: Globs | null = null
  users: Globs | null = null
  databases: Globs | null = null
  statement: Bytes | null = null
  fingerprint: u64 = 0
  hasFingerprint: bool = false
  /** False for a rule that can never be used; the log has told why. */
  isUsable: bool = true

  get readsNormal(): bool {
    return this.patterns != null || this.statement != null || this.hasFingerprint
  }

  /**
   * True for a FunctionCall that it is about. A call has no text and no tables, and its function no
   * name: a rule that refuses functions refuses them all.
   */
  fitsCall(): bool {
    if (this.tables != null || this.readsNormal) return false
    if (this.functions != null && this.action != Action.Deny) return false
    return this.fitsVerbs() && this.fitsWho()
  }

  fits(statements: Statements): bool {
    return this.fitsVerbs() && this.fitsWho() && this.fitsText() && this.fitsTables(statements)
      && this.fitsFunctions()
  }

  private fitsVerbs(): bool {
    if (this.verbs == 0 && this.purposes == 0) return true
    const named = Subject.verbs & this.verbs
    if (this.action == Action.Deny) {
      return named != 0 || (Subject.purposes & this.purposes) != 0
    }
    if (named == Subject.verbs) return true
    return this.verbs == 0
      ? (Subject.purposes & ~this.purposes) == 0
      : this.fitsEachVerb(Subject.verbs & ~this.verbs)
  }

  /** Every verb that is not named itself belongs to a group that is. */
  private fitsEachVerb(rest: u64): bool {
    if (this.purposes == 0 || (rest & FUNCTION_CALL) != 0) return false
    for (let verb = 0; verb < 63; verb++) {
      if ((rest & ((<u64>1) << verb)) == 0) continue
      if ((this.purposes & (1 << purposeOf(<Word>verb))) == 0) return false
    }
    return true
  }

  private fitsWho(): bool {
    const users = this.users
    if (users != null && !matchesAny(users, Subject.user.slice)) return false
    const databases = this.databases
    return databases == null || matchesAny(databases, Subject.database.slice)
  }

  private fitsText(): bool {
    if (!this.readsNormal) return true
    if (!Subject.isNormal) return this.action == Action.Deny
    if (this.hasFingerprint && this.fingerprint != Subject.fingerprint) return false
    const statement = this.statement
    if (statement != null && !equals(statement.slice, Subject.normal.slice)) return false
    const patterns = this.patterns
    return patterns == null || matchesAny(patterns, Subject.normal.slice)
  }

  private fitsTables(statements: Statements): bool {
    const tables = this.tables
    if (tables == null) return true
    if (this.action == Action.Deny) {
      if (statements.hasMoreTables) return true
      for (let at = 0; at < statements.tables; at++) {
        if (isMeant(tables, statements.table(at))) return true
      }
      return false
    }
    if (statements.hasMoreTables || statements.tables == 0) return false
    for (let at = 0; at < statements.tables; at++) {
      if (!isNamed(tables, statements.table(at))) return false
    }
    return true
  }

  private fitsFunctions(): bool {
    const functions = this.functions
    if (functions == null) return true
    if (this.action == Action.Deny) {
      if (hasMoreCalls()) return true
      for (let at = 0; at < calls(); at++) if (isMeant(functions, callAt(at))) return true
      return false
    }
    if (hasMoreCalls()) return false
    for (let at = 0; at < calls(); at++) if (!isNamed(functions, callAt(at))) return false
    return true
  }
}

/** Where the last part of a name begins; a dot within quotes divides nothing. */
export function lastPartOf(name: Slice): i32 {
  const ptr = ptrOf(name)
  let from = 0
  let isQuoted = false
  for (let at = 0; at < lengthOf(name); at++) {
    const byte = load<u8>(ptr + at)
    if (byte == 0x22) isQuoted = !isQuoted
    else if (byte == 0x2e && !isQuoted) from = at + 1
  }
  return from
}

/**
 * True where a name may mean what a rule refuses: `secrets` in a rule is every schema's, and
 * `shop.secrets` may be meant by the bare name, for the search path is not known.
 */
function isMeant(globs: Globs, name: Slice): bool {
  if (matchesAny(globs, name)) return true
  const from = lastPartOf(name)
  if (from > 0) {
    if (matchesAny(globs, part(name, from))) return true
    // The database before the schema names the present one, or the server refuses it.
    const rest = part(name, firstPartOf(name))
    return lastPartOf(rest) > 0 && matchesAny(globs, rest)
  }
  for (let at = 0; at < globs.length; at++) {
    const short = globs[at].short
    if (short != null && short.matches(name)) return true
  }
  return false
}

/** Where the second part of a name begins. */
function firstPartOf(name: Slice): i32 {
  const ptr = ptrOf(name)
  let isQuoted = false
  for (let at = 0; at < lengthOf(name); at++) {
    const byte = load<u8>(ptr + at)
    if (byte == 0x22) isQuoted = !isQuoted
    else if (byte == 0x2e && !isQuoted) return at + 1
  }
  return 0
}

/** True where a name is written as a rule lets it pass: with its schema if the rule has one. */
function isNamed(globs: Globs, name: Slice): bool {
  for (let at = 0; at < globs.length; at++) {
    const hasSchema = globs[at].short != null
    if (hasSchema == lastPartOf(name) > 0 && globs[at].matches(name)) return true
    if (globs[at].isEverything) return true
  }
  return false
}

const GROUPS = 'reading writing defining transacting arranging running maintaining other'.split(' ')

/** Adds a kind by its name: a verb, or a group of verbs. The schema lets no other through. */
export function addKind(rule: Rule, name: Slice): void {
  for (let at = 0; at < GROUPS.length; at++) {
    if (!isText(name, GROUPS[at])) continue
    rule.purposes |= 1 << at
    return
  }
  if (isText(name, 'FUNCTION_CALL')) rule.verbs |= FUNCTION_CALL
  else rule.verbs |= (<u64>1) << verbOf(name)
}

function verbOf(name: Slice): Word {
  const found = wordAt(ptrOf(name), lengthOf(name))
  return found == Word.None ? Word.Other : found
}
