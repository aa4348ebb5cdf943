/**
 * What the operator wants: read once, at the first hook. The gateway has checked it against the
 * schema in the manifest; what that cannot say is checked here, and told in the log.
 */
import { Bytes } from '../../sdk/assembly/bytes'
import { ERROR } from '../../sdk/assembly/host'
import { JsonReader, JsonToken } from '../../sdk/assembly/json-reader'
import { LogRecord } from '../../sdk/assembly/records'
import {
  settingFlag,
  settingInteger,
  settingReader,
  settingText,
} from '../../sdk/assembly/settings'
import { isText, lengthOf, part, ptrOf, Slice, textOf } from '../../sdk/assembly/slice'
import { addWriting, OWN_MAX } from './functions'
import { Glob, Globs } from './glob'
import { Action, addKind, lastPartOf, Rule } from './rules'

/** What is done about a finding. */
export const enum Response {
  Off,
  Log,
  Deny,
}

/** Rules of one configuration; more would take the time of every statement. */
export const RULES_MAX: i32 = 256
/** Names or patterns of one list of a rule. */
const LIST_MAX: i32 = 256

export class Settings {
  static isRead: bool = false
  static readOnly: bool = false
  static deniesByDefault: bool = false
  static dryRun: bool = false
  static learns: bool = false
  static statementBytesMax: i32 = 0
  static rules: StaticArray<Rule> = new StaticArray<Rule>(0)
  /** True where a rule asks for the text, the user or the database. */
  static wantsNormal: bool = false
  static wantsWho: bool = false
  static serverAccess: Response = Response.Deny
  static unbounded: Response = Response.Log
  static multipleStatements: Response = Response.Off
  static injection: Response = Response.Log
  static unreadable: Response = Response.Deny
  /** True where rules were left out: then nothing passes. */
  static isBroken: bool = false

  /** True where a statement that cannot be read could get around what the operator has set. */
  static get mustRead(): bool {
    return Settings.readOnly || Settings.deniesByDefault || Settings.rules.length > 0
  }
}

export const SCHEMA =
  `{"type":"object","additionalProperties":false,"properties":{` +
  `"readOnly":{"type":"boolean","default":false,` +
  `"description":"Refuse what by its text may change anything, and what cannot be read"},` +
  `"default":{"type":"string","enum":["allow","deny"],"default":"allow",` +
  `"description":"For statements that no rule is about"},` +
  `"dryRun":{"type":"boolean","default":false,` +
  `"description":"Refuse nothing; log and count what would be refused"},` +
  `"learn":{"type":"boolean","default":false,` +
  `"description":"Refuse nothing; log for each new statement the rule that allows it"},` +
  `"statementBytesMax":{"type":"integer","minimum":1024,"maximum":67108864,"default":1048576,` +
  `"description":"Longer texts are not read; with rules or readOnly they are refused"},` +
  `"writingFunctions":{"type":"array","default":[],` +
  `"items":{"type":"string","minLength":1,"maxLength":63},` +
  `"description":"Functions of your own that readOnly must refuse, without schema"},` +
  `"checks":{"type":"object","additionalProperties":false,"default":{},"properties":{` +
  check('serverAccess', 'deny', 'Files, programs and libraries of the server') + ',' +
  check('unbounded', 'log', 'UPDATE and DELETE of every row') + ',' +
  check('multipleStatements', 'off', 'Several statements in one message') + ',' +
  check('injection', 'log', 'Shapes that injections have') + ',' +
  check('unreadable', 'deny', 'Texts that no statement can be read from') +
  `}},"rules":{"type":"array","default":[],"items":{"type":"object",` +
  `"additionalProperties":false,"required":["name","action"],"properties":{` +
  `"name":{"type":"string","minLength":1,"maxLength":64,` +
  `"pattern":"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"},` +
  `"action":{"type":"string","enum":["deny","allow","trust"]},` +
  `"kinds":{"type":"array","items":{"type":"string","enum":[${kinds()}]}},` +
  list('tables') + ',' + list('functions') + ',' + list('patterns') + ',' +
  list('users') + ',' + list('databases') + ',' +
  `"statement":{"type":"string","minLength":1,"maxLength":16384},` +
  `"fingerprint":{"type":"string","pattern":"^[0-9a-f]{16}$"}}}}}}`

function check(name: string, otherwise: string, help: string): string {
  return (
    `"${name}":{"type":"string","enum":["off","log","deny"],"default":"${otherwise}",` +
    `"description":"${help}"}`
  )
}

function list(name: string): string {
  return `"${name}":{"type":"array","items":{"type":"string","minLength":1,"maxLength":1024}}`
}

function kinds(): string {
  return (
    '"reading","writing","defining","transacting","arranging","running","maintaining","other",' +
    '"FUNCTION_CALL","SELECT","INSERT","UPDATE","DELETE","MERGE","VALUES","TABLE","EXPLAIN",' +
    '"PREPARE","EXECUTE","DEALLOCATE","DECLARE","FETCH","MOVE","CLOSE","COPY","CREATE","ALTER",' +
    '"DROP","TRUNCATE","GRANT","REVOKE","COMMENT","ANALYZE","VACUUM","CLUSTER","REINDEX",' +
    '"REFRESH","LOCK","BEGIN","START","COMMIT","END","ROLLBACK","ABORT","SAVEPOINT","RELEASE",' +
    '"SET","RESET","SHOW","LISTEN","NOTIFY","UNLISTEN","DISCARD","DO","CALL","CHECKPOINT",' +
    '"LOAD","SECURITY","IMPORT","REASSIGN","OTHER"'
  )
}

const record = new LogRecord()

export function readSettings(): void {
  Settings.isRead = true
  Settings.readOnly = settingFlag('readOnly')
  Settings.deniesByDefault = settingText('default', 'allow') == 'deny'
  Settings.dryRun = settingFlag('dryRun')
  Settings.learns = settingFlag('learn')
  Settings.statementBytesMax = <i32>settingInteger('statementBytesMax', 0x10_0000)
  readChecks()
  readWriting()
  readRules()
  for (let at = 0; at < Settings.rules.length; at++) {
    const rule = Settings.rules[at]
    if (rule.readsNormal) Settings.wantsNormal = true
    if (rule.users != null || rule.databases != null) Settings.wantsWho = true
  }
}

function responseOf(name: Slice): Response {
  if (isText(name, 'off')) return Response.Off
  return isText(name, 'log') ? Response.Log : Response.Deny
}

function readChecks(): void {
  const reader = settingReader('checks')
  if (reader == null || reader.next() != JsonToken.ObjectBegin) return
  while (reader.next() == JsonToken.String) {
    const key = textOf(reader.value)
    reader.next()
    const response = responseOf(reader.value)
    if (key == 'serverAccess') Settings.serverAccess = response
    else if (key == 'unbounded') Settings.unbounded = response
    else if (key == 'multipleStatements') Settings.multipleStatements = response
    else if (key == 'injection') Settings.injection = response
    else Settings.unreadable = response
  }
}

function readWriting(): void {
  const reader = settingReader('writingFunctions')
  if (reader == null || reader.next() != JsonToken.ArrayBegin) return
  for (let count = 0; reader.next() == JsonToken.String; count++) {
    if (count < OWN_MAX) addWriting(reader.value)
    else broken(`writingFunctions has more than ${OWN_MAX} names`)
  }
}

function readRules(): void {
  const found: Rule[] = []
  const reader = settingReader('rules')
  if (reader == null || reader.next() != JsonToken.ArrayBegin) return
  while (reader.next() == JsonToken.ObjectBegin) found.push(readRule(reader))
  if (found.length > RULES_MAX) broken(`rules has ${found.length} items, at most ${RULES_MAX} fit`)
  const rules = new StaticArray<Rule>(found.length)
  for (let at = 0; at < found.length; at++) rules[at] = found[at]
  Settings.rules = rules
}

function broken(why: string): void {
  if (Settings.isBroken) return
  Settings.isBroken = true
  record.begin('configuration cannot be used, every statement is refused')
  record.fieldText('why', why).write(ERROR)
}

function readRule(reader: JsonReader): Rule {
  const rule = new Rule()
  while (reader.next() == JsonToken.String) {
    const key = textOf(reader.value)
    if (key == 'kinds') readKinds(rule, reader)
    else if (key == 'tables') rule.tables = readGlobs(reader, true)
    else if (key == 'functions') rule.functions = readGlobs(reader, true)
    else if (key == 'patterns') rule.patterns = readGlobs(reader, false)
    else if (key == 'users') rule.users = readGlobs(reader, false)
    else if (key == 'databases') rule.databases = readGlobs(reader, false)
    else readText(rule, key, reader)
  }
  // FNV can be forged: a fingerprint alone lets nothing pass.
  const isForgeable = rule.hasFingerprint && rule.statement == null
  if (isForgeable && rule.action != Action.Deny) {
    rule.isUsable = false
    record.begin('a rule is never used: a fingerprint alone allows nothing, name the statement too')
    record.fieldText('rule', rule.name).write(ERROR)
  }
  return rule
}

function readText(rule: Rule, key: string, reader: JsonReader): void {
  reader.next()
  const value = reader.value
  if (key == 'name') {
    rule.name = textOf(value)
    rule.nameBytes.add(value)
  } else if (key == 'action') {
    rule.action = isText(value, 'deny') ? Action.Deny
      : isText(value, 'trust') ? Action.Trust : Action.Allow
  } else if (key == 'statement') {
    const statement = new Bytes()
    statement.add(value)
    rule.statement = statement
  } else if (key == 'fingerprint') {
    rule.hasFingerprint = true
    rule.fingerprint = hexOf(value)
  }
}

function hexOf(digits: Slice): u64 {
  let value: u64 = 0
  for (let at = 0; at < lengthOf(digits); at++) {
    const byte = load<u8>(ptrOf(digits) + at)
    value = (value << 4) | (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57)
  }
  return value
}

function readKinds(rule: Rule, reader: JsonReader): void {
  reader.next()
  while (reader.next() == JsonToken.String) addKind(rule, reader.value)
}

function readGlobs(reader: JsonReader, areNames: bool): Globs {
  reader.next()
  const found: Glob[] = []
  while (reader.next() == JsonToken.String) {
    const value = reader.value
    const glob = new Glob(value)
    const from = lastPartOf(value)
    if (areNames && from > 0) glob.short = new Glob(part(value, from))
    found.push(glob)
  }
  if (found.length > LIST_MAX) broken(`a list of a rule has more than ${LIST_MAX} items`)
  const globs = new StaticArray<Glob>(found.length)
  for (let at = 0; at < found.length; at++) globs[at] = found[at]
  return globs
}
