/** The rules of the configuration: for whom, for which statements, by what, and how many. */
import { fits } from '../../shared/assembly/wildcard'
import { Purpose } from '../../sdk/assembly/sql/statements'
import { spelled, Word } from '../../sdk/assembly/sql/words'
import {
  ERROR,
  isText,
  JsonReader,
  JsonToken,
  LogRecord,
  Slice,
  slice,
  settingReader,
  textOf,
} from '../../sdk/assembly/sdk'
import { PURPOSES } from './schema'

/** A bit each in what a session has of rules. */
export const RULES_MAX: i32 = 32

export const PER_USER: i32 = 1
export const PER_ADDRESS: i32 = 2
export const PER_DATABASE: i32 = 4

/** A text of the configuration as bytes that stay. */
@final
class Pattern {
  private readonly bytes: ArrayBuffer

  constructor(text: string) {
    this.bytes = String.UTF8.encode(text)
  }

  get slice(): Slice {
    return slice(changetype<usize>(this.bytes), this.bytes.byteLength)
  }
}

@final
export class Rule {
  name: string = ''
  /** PER_… of each name that has a bucket of its own. */
  per: i32 = 0
  /** Tokens a second; 0: the rule only measures. */
  rate: f64 = 0
  burst: f64 = 0
  denies: bool = true
  /** The most statements of one bucket in one second so far. */
  busiest: i32 = 0
  private verbs: u64 = 0
  private purposes: u32 = 0
  private hasKinds: bool = false
  private users: Pattern[] = []
  private exceptUsers: Pattern[] = []
  private databases: Pattern[] = []

  /** True for statements of this kind. One that is not known is of every kind. */
  meets(kind: Word, purpose: Purpose): bool {
    if (kind == Word.None) return true
    if (!this.hasKinds) return purpose != Purpose.Transacting
    return (this.purposes & (1 << <u32>purpose)) != 0 || (this.verbs & (<u64>1 << <u64>kind)) != 0
  }

  concerns(user: Slice, database: Slice): bool {
    if (this.users.length > 0 && !fitsAny(this.users, user)) return false
    if (this.databases.length > 0 && !fitsAny(this.databases, database)) return false
    return !fitsAny(this.exceptUsers, user)
  }

  /** Reads one object, its opening brace read already. */
  read(json: JsonReader): this {
    this.per = PER_USER
    while (json.next() == JsonToken.String) {
      if (json.is('name')) this.name = readText(json)
      else if (json.is('per')) this.readPer(json)
      else if (json.is('kinds')) this.readKinds(json)
      else if (json.is('users')) readPatterns(json, this.users)
      else if (json.is('exceptUsers')) readPatterns(json, this.exceptUsers)
      else if (json.is('databases')) readPatterns(json, this.databases)
      else if (json.is('rate')) this.rate = readNumber(json)
      else if (json.is('burst')) this.burst = readNumber(json)
      else if (json.is('action')) this.denies = readText(json) == 'deny'
      else json.skip()
    }
    if (this.burst < 1) this.burst = max<f64>(1, this.rate)
    return this
  }

  private readPer(json: JsonReader): void {
    this.per = 0
    if (json.next() != JsonToken.ArrayBegin) return
    while (json.next() == JsonToken.String) {
      if (json.is('user')) this.per |= PER_USER
      else if (json.is('address')) this.per |= PER_ADDRESS
      else if (json.is('database')) this.per |= PER_DATABASE
    }
  }

  private readKinds(json: JsonReader): void {
    this.hasKinds = true
    if (json.next() != JsonToken.ArrayBegin) return
    while (json.next() == JsonToken.String) {
      const name = textOf(json.value)
      const purpose = PURPOSES.indexOf(name)
      if (purpose >= 0) this.purposes |= 1 << <u32>purpose
      else this.verbs |= <u64>1 << <u64>verbNamed(json.value)
    }
  }
}

function verbNamed(name: Slice): Word {
  for (let word = <i32>Word.Select; word < Word.Other; word++) {
    if (isText(name, textOf(spelled(<Word>word)))) return <Word>word
  }
  return Word.Other
}

function readText(json: JsonReader): string {
  json.next()
  return textOf(json.value)
}

function readNumber(json: JsonReader): f64 {
  return parseFloat(readText(json))
}

function readPatterns(json: JsonReader, into: Pattern[]): void {
  if (json.next() != JsonToken.ArrayBegin) return
  while (json.next() == JsonToken.String) into.push(new Pattern(textOf(json.value)))
}

function fitsAny(patterns: Pattern[], name: Slice): bool {
  for (let at = 0; at < patterns.length; at++) if (fits(patterns[at].slice, name)) return true
  return false
}

/** A rule that refuses nothing and only finds out how busy each is. */
function measuring(name: string, per: i32): Rule {
  const rule = new Rule()
  rule.name = name
  rule.per = per
  return rule
}

/** All rules, in the order of the configuration; without one, those that only measure. */
export function readRules(): Rule[] {
  const rules: Rule[] = []
  const json = settingReader('rules')
  if (json != null && json.next() == JsonToken.ArrayBegin) {
    while (json.next() == JsonToken.ObjectBegin) {
      const rule = new Rule().read(json)
      if (rules.length < RULES_MAX) rules.push(rule)
      else new LogRecord().begin('too many rules; this one is left out')
        .fieldText('rule', rule.name).fieldInteger('most', RULES_MAX).write(ERROR)
    }
  }
  if (rules.length > 0) return rules
  return [
    measuring('user', PER_USER),
    measuring('address', PER_ADDRESS),
    measuring('database', PER_DATABASE),
  ]
}

/** The rule for new connections, or null. */
export function readConnectionRule(): Rule | null {
  const json = settingReader('connections')
  if (json == null || json.next() != JsonToken.ObjectBegin) return null
  const rule = new Rule()
  rule.name = 'connections'
  rule.per = PER_ADDRESS
  while (json.next() == JsonToken.String) {
    if (json.is('rate')) rule.rate = readNumber(json)
    else if (json.is('burst')) rule.burst = readNumber(json)
    else if (json.is('per')) rule.per = readText(json) == 'all' ? 0 : PER_ADDRESS
    else json.skip()
  }
  if (rule.burst < 1) rule.burst = max<f64>(1, rule.rate)
  return rule
}
