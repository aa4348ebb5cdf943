/** Examines the statements of a message, one after the other: the first refusal is the verdict. */
import { CONTINUE } from '../../sdk/assembly/host'
import { hashOf, lengthOf, NONE, ptrOf, Slice, slice } from '../../sdk/assembly/slice'
import { Place } from '../../sdk/assembly/sql/frames'
import { normalise } from '../../sdk/assembly/sql/normal'
import { Purpose, Statements } from '../../sdk/assembly/sql/statements'
import { Word } from '../../sdk/assembly/sql/words'
import { connectionFact } from '../../sdk/assembly/store'
import { Response, Settings } from './configuration'
import { Counts, find, Finding, settle } from './findings'
import { Found, Shape, shapeName, SUSPICIOUS } from './found'
import { isServerFunction, SERVER } from './functions'
import { learn } from './learning'
import { whyArranging, whyWriting } from './reading'
import { Action, readVerbs, Rule, Subject, takeFunctionCall } from './rules'
import { assumeReading, becomeUncertain, isPlain, loadReading, Reading } from './session'
import { readShapes } from './shapes'
import { CALL, TEXT } from './kinds'

/** The longest normal form that rules read; what is longer is refused by any rule that may. */
const NORMAL_BYTES_MAX: i32 = 0x4_0000

const statements = new Statements()

/** What the statements of a message have in common. */
let standard: bool = true
let isAgain: bool = false
let count: i32 = 0
let endedInLiteral: bool = false
/** True once a statement that changes something stood behind a literal. */
let isStacked: bool = false
let messageEnd: usize = 0

/** Examines the text of a Query or a Parse. */
export function examineText(sql: Slice): i32 {
  if (lengthOf(sql) > Settings.statementBytesMax) return examineLong(sql)
  if (isPlain(sql)) assumeReading()
  else loadReading()
  isAgain = false
  standard = Reading.standardStrings
  const verdict = examineStatements(sql)
  if (verdict != CONTINUE || !Reading.isUncertain) return verdict
  isAgain = true
  standard = !standard
  return examineStatements(sql)
}

/** A text that would take too long to read. */
function examineLong(sql: Slice): i32 {
  Counts.seen!.label(TEXT).add()
  find('statement-too-long', '54000', 'it is longer than statementBytesMax', HINT_LONG)
  const response = Settings.mustRead ? Response.Deny : Response.Log
  return settle(response, TEXT, NONE)
}

const HINT_LONG = 'send it in parts, or by COPY; or raise statementBytesMax and limits.callDeadline'

function examineStatements(sql: Slice): i32 {
  const end = ptrOf(sql) + lengthOf(sql)
  let rest = sql
  count = 0
  isStacked = false
  endedInLiteral = false
  messageEnd = end
  while (statements.open(rest, standard).next()) {
    count++
    const text = statements.sql
    const verdict = examineStatement(text)
    if (verdict != CONTINUE) return verdict
    const behind = ptrOf(text) + lengthOf(text)
    rest = slice(behind, <i32>(end - behind))
  }
  return count > 1 ? examineMany(sql) : CONTINUE
}

function examineMany(sql: Slice): i32 {
  if (Settings.multipleStatements == Response.Off) return CONTINUE
  find('multiple-statements', '42601', 'the message has several statements', HINT_MANY)
  return settle(Settings.multipleStatements, TEXT, sql, standard)
}

const HINT_MANY = 'send one statement a message'

/** Examines one statement; `text` is it without what stands around it. */
function examineStatement(text: Slice): i32 {
  const kind = statements.kindName
  if (!isAgain) Counts.seen!.label(kind).add()
  const wasUnbounded = statements.unbounded > 0
  const isWhole = statements.isWhole
  readShapes(text, standard)
  if (Found.setsQuoting) becomeUncertain()
  if (Settings.isBroken) {
    find('configuration', '55000', 'the configuration of the firewall cannot be used', HINT_BROKEN)
    return settle(Response.Deny, kind, text, standard)
  }
  let verdict = examineForm(kind, text, isWhole)
  if (verdict != CONTINUE) return verdict
  readVerbs(statements)
  verdict = examineReadOnly(kind, text)
  if (verdict != CONTINUE) return verdict
  if (Settings.wantsWho) readWho()
  if (Settings.wantsNormal || Settings.learns) readNormal(text)
  if (Settings.learns && !isAgain) learn(kind, Counts.learned!)
  const rule = ruleFor()
  if (rule != null) {
    if (rule.action == Action.Trust) return CONTINUE
    if (rule.action == Action.Deny) {
      find(rule.name, '42501', 'a rule of the configuration refuses it', HINT_RULE)
      verdict = settle(Response.Deny, kind, text, standard)
      if (verdict != CONTINUE) return verdict
    }
  } else if (Settings.deniesByDefault) {
    find('default', '42501', 'no rule of the configuration allows it', HINT_DEFAULT)
    verdict = settle(Response.Deny, kind, text, standard)
    if (verdict != CONTINUE) return verdict
  }
  return examineChecks(kind, text, wasUnbounded)
}

const HINT_BROKEN = 'see the log of the gateway'
const HINT_RULE = 'the rule stands in the configuration of the plugin firewall'
const HINT_DEFAULT = 'add a rule to the configuration of the plugin firewall; learn: true writes it'

/** Text that cannot be read for certain. */
function examineForm(kind: Slice, text: Slice, isWhole: bool): i32 {
  if (!isWhole || Found.unreadable) {
    find('unreadable', '42601', 'a quote or comment has no end, or a sign is none of SQL', '')
  } else if (Found.doubtful && Reading.isUnsafe) {
    find('unreadable', '42601', 'a letter of the encoding may hide a backslash', HINT_ENCODING)
  } else if (statements.kind == Word.Other && Settings.readOnly) {
    find('unreadable', '42601', 'it begins with no command of PostgreSQL', '')
  } else return CONTINUE
  return settle(Settings.readOnly ? Response.Deny : Settings.unreadable, kind, text, standard)
}

const HINT_ENCODING = 'use client_encoding UTF8'

function examineReadOnly(kind: Slice, text: Slice): i32 {
  if (!Settings.readOnly) return CONTINUE
  let why = whyWriting(statements)
  if (why == null && statements.purpose == Purpose.Arranging) why = whyArranging(statements, text)
  if (why == null) return CONTINUE
  find('read-only', '25006', why, HINT_READ_ONLY)
  return settle(Response.Deny, kind, text, standard)
}

export const HINT_READ_ONLY = 'the plugin firewall is set to readOnly; write by another way'

function readWho(): void {
  Subject.user.clear().add(connectionFact('user'))
  Subject.database.clear().add(connectionFact('database'))
}

function readNormal(text: Slice): void {
  const normal = Subject.normal.clear()
  normalise(text, normal, standard)
  Subject.isNormal = normal.length <= NORMAL_BYTES_MAX && !normal.isCut
  Subject.fingerprint = hashOf(normal.slice)
}

/** The first rule that is about the present statement. */
function ruleFor(): Rule | null {
  const rules = Settings.rules
  for (let at = 0; at < rules.length; at++) {
    const rule = rules[at]
    if (rule.isUsable && rule.fits(statements)) return rule
  }
  return null
}

function examineChecks(kind: Slice, text: Slice, wasUnbounded: bool): i32 {
  let verdict = CONTINUE
  if (reachesServer()) {
    const why = 'it reaches files, programs or libraries of the server'
    find('server-access', '42501', why, HINT_SERVER)
    verdict = settle(Settings.serverAccess, kind, text, standard)
    if (verdict != CONTINUE) return verdict
  }
  if (wasUnbounded || (Found.wholeWhere && changesRows())) {
    find('unbounded', '42501', 'it changes every row of a table', HINT_UNBOUNDED)
    verdict = settle(Settings.unbounded, kind, text, standard)
    if (verdict != CONTINUE) return verdict
  }
  return examineShapes(kind, text)
}

const HINT_SERVER = 'a rule with action trust, or checks.serverAccess, lets it pass'
const HINT_UNBOUNDED = 'give it a WHERE that means rows'
const HINT_INJECTION = 'send values as parameters; a rule with action trust lets a statement pass'

function changesRows(): bool {
  const kind = statements.kind
  return kind == Word.Update || kind == Word.Delete || statements.isWithin(Word.Update)
    || statements.isWithin(Word.Delete)
}

function reachesServer(): bool {
  if (Settings.serverAccess == Response.Off) return false
  if (Found.effects & SERVER) return true
  if (statements.copyPlace == Place.File || statements.copyPlace == Place.Program) return true
  switch (statements.kind) {
    case Word.Load:
      return true
    case Word.Create:
      return Found.isNative || Found.second == Word.Tablespace
    case Word.Alter:
      return Found.isSystem
    case Word.Do:
      return Found.isNative
    default:
      return false
  }
}

function examineShapes(kind: Slice, text: Slice): i32 {
  if (Settings.injection == Response.Off) return CONTINUE
  const isChanging = statements.purpose != Purpose.Reading
    && statements.purpose != Purpose.Transacting
  if (endedInLiteral && isChanging) isStacked = true
  endedInLiteral = Found.endsInLiteral
  const points = Found.points + commentPoints(ptrOf(text) + lengthOf(text)) + (isStacked ? 2 : 0)
  if (points < SUSPICIOUS) return CONTINUE
  find('injection', '42501', 'it has the shape of an injection', HINT_INJECTION)
  const shape = Found.points > 1 ? Found.shape : isStacked ? Shape.Stacked : Shape.Truncation
  Finding.shape = shapeName(shape)
  return settle(Settings.injection, kind, text, standard)
}

/** Points for a comment by which the rest of a statement is cut off, behind its present end. */
function commentPoints(ptr: usize): i32 {
  while (ptr < messageEnd && (load<u8>(ptr) <= 0x20 || load<u8>(ptr) == 0x3b)) ptr++
  if (ptr + 1 >= messageEnd || load<u16>(ptr) != 0x2d2d) return 0
  let quotes = 0
  for (; ptr < messageEnd; ptr++) {
    const byte = load<u8>(ptr)
    if (byte == 0x0a || byte == 0x0d) return 0
    if (byte == 0x27) quotes++
  }
  return 1 + (Found.endsInLiteral ? 1 : 0) + (quotes & 1)
}

/** Examines a FunctionCall: a function by its number, without a statement. */
export function examineCall(oid: u32): i32 {
  Counts.seen!.label(CALL).add()
  if (Settings.isBroken) {
    find('configuration', '55000', 'the configuration of the firewall cannot be used', HINT_BROKEN)
    return settle(Response.Deny, CALL, NONE)
  }
  if (Settings.readOnly) {
    find('read-only', '25006', 'what a function changes is not known', HINT_READ_ONLY)
    return settle(Response.Deny, CALL, NONE)
  }
  takeFunctionCall()
  if (Settings.wantsWho) readWho()
  const rule = ruleForCall()
  if (rule != null) {
    if (rule.action == Action.Trust) return CONTINUE
    if (rule.action == Action.Deny) {
      find(rule.name, '42501', 'a rule of the configuration refuses it', HINT_RULE)
      return settle(Response.Deny, CALL, NONE)
    }
  } else if (Settings.deniesByDefault) {
    find('default', '42501', 'no rule of the configuration allows it', HINT_DEFAULT)
    return settle(Response.Deny, CALL, NONE)
  }
  if (!isServerFunction(oid)) return CONTINUE
  find('server-access', '42501', 'it reaches files of the server', HINT_SERVER)
  return settle(Settings.serverAccess, CALL, NONE)
}

function ruleForCall(): Rule | null {
  const rules = Settings.rules
  for (let at = 0; at < rules.length; at++) {
    if (rules[at].isUsable && rules[at].fitsCall()) return rules[at]
  }
  return null
}
