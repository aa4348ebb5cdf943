/** The rules of the configuration: what is masked, how, and for whom. */
import { fits } from '../../shared/assembly/wildcard'
import {
  ERROR,
  JsonReader,
  JsonToken,
  LogRecord,
  settingReader,
  Slice,
  slice,
  textOf,
} from '../../sdk/assembly/sdk'
import { CARD, EMAIL, PHONE, WHOLLY } from './values'

/** A bit each in what a session has of rules. */
export const RULES_MAX: i32 = 32

export const enum How {
  Partial,
  Whole,
  Null,
}

/** Bytes of the configuration that stay. */
function bytesOf(text: string): ArrayBuffer {
  return String.UTF8.encode(text)
}

function sliceOf(bytes: ArrayBuffer): Slice {
  return slice(changetype<usize>(bytes), bytes.byteLength)
}

@final
export class Rule {
  name: string = ''
  how: How = How.Partial
  /** EMAIL, CARD and PHONE, and WHOLLY. */
  values: i32 = 0
  /** Values masked by the names of their columns in the present call. */
  masked: i32 = 0
  private columns: ArrayBuffer[] = []
  private users: ArrayBuffer[] = []
  private exceptUsers: ArrayBuffer[] = []

  names(column: Slice): bool {
    return fitsAny(this.columns, column)
  }

  isFor(user: Slice): bool {
    return (this.users.length == 0 || fitsAny(this.users, user)) &&
      !fitsAny(this.exceptUsers, user)
  }

  /** The same for names that this file gives, divided by blanks. */
  withColumns(list: string): this {
    const patterns = list.split(' ')
    for (let at = 0; at < patterns.length; at++) this.columns.push(bytesOf(patterns[at]))
    return this
  }

  /** Reads one object, its opening brace read already. */
  read(json: JsonReader): this {
    while (json.next() == JsonToken.String) {
      if (json.is('name')) this.name = readText(json)
      else if (json.is('columns')) readPatterns(json, this.columns)
      else if (json.is('values')) this.readValues(json)
      else if (json.is('how')) this.how = howNamed(readText(json))
      else if (json.is('users')) readPatterns(json, this.users)
      else if (json.is('exceptUsers')) readPatterns(json, this.exceptUsers)
      else json.skip()
    }
    if (this.values != 0 && this.how != How.Partial) this.values |= WHOLLY
    return this
  }

  private readValues(json: JsonReader): void {
    if (json.next() != JsonToken.ArrayBegin) return
    while (json.next() == JsonToken.String) {
      this.values |= json.is('email') ? EMAIL : json.is('card') ? CARD : PHONE
    }
  }
}

function howNamed(name: string): How {
  return name == 'whole' ? How.Whole : name == 'null' ? How.Null : How.Partial
}

function readText(json: JsonReader): string {
  json.next()
  return textOf(json.value)
}

function readPatterns(json: JsonReader, into: ArrayBuffer[]): void {
  if (json.next() != JsonToken.ArrayBegin) return
  while (json.next() == JsonToken.String) into.push(bytesOf(textOf(json.value)))
}

function fitsAny(patterns: ArrayBuffer[], name: Slice): bool {
  for (let at = 0; at < patterns.length; at++) if (fits(sliceOf(patterns[at]), name)) return true
  return false
}

let rules: Rule[] = []
let exceptUsers: ArrayBuffer[] = []

/** What everybody means who asks for masking and says no more. */
function usualRules(): Rule[] {
  const secrets = new Rule()
  secrets.name = 'secrets'
  secrets.how = How.Whole
  secrets.withColumns('*password* *passwd* *secret* *api_key* *apikey* *token pin cvv cvc')
  const personal = new Rule()
  personal.name = 'personal'
  personal.withColumns(
    '*email* *e_mail* *phone* *mobile* *card_number* *card_no* *credit_card* *iban* ssn *_ssn',
  )
  personal.values = EMAIL | CARD
  return [secrets, personal]
}

export function readRules(): void {
  rules = []
  const json = settingReader('rules')
  if (json != null && json.next() == JsonToken.ArrayBegin) {
    while (json.next() == JsonToken.ObjectBegin) {
      const rule = new Rule().read(json)
      if (rules.length < RULES_MAX) rules.push(rule)
      else new LogRecord().begin('too many rules; this one is left out')
        .fieldText('rule', rule.name).fieldInteger('most', RULES_MAX).write(ERROR)
    }
  } else rules = usualRules()
  exceptUsers = []
  const except = settingReader('exceptUsers')
  if (except != null) readPatterns(except, exceptUsers)
}

export function rulesCount(): i32 {
  return rules.length
}

export function ruleAt(at: i32): Rule {
  return rules[at]
}

/** The rules for a user, a bit each. */
export function rulesFor(user: Slice): u32 {
  let found: u32 = 0
  if (fitsAny(exceptUsers, user)) return 0
  for (let at = 0; at < rules.length; at++) if (rules[at].isFor(user)) found |= 1 << at
  return found
}

/** The first of some rules that names a column, or -1. */
export function ruleNaming(column: Slice, among: u32): i32 {
  for (let at = 0; at < rules.length; at++) {
    if ((among & (1 << at)) != 0 && rules[at].names(column)) return at
  }
  return -1
}

/** What some rules look for in values, together; what one wants to be covered wholly is. */
export function valuesOf(among: u32): i32 {
  let wanted = 0
  for (let at = 0; at < rules.length; at++) {
    if ((among & (1 << at)) != 0) wanted |= rules[at].values
  }
  return wanted
}
