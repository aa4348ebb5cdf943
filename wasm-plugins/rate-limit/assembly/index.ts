/** The rate-limit plugin: token buckets for statements and connections. README.md says the rest. */
import { joined, keyed } from '../../shared/assembly/secret'
import { Sessions, Tracked } from '../../shared/assembly/sessions'
import { Table } from '../../shared/assembly/table'
import { Quoting } from '../../sdk/assembly/sql/quoting'
import { Purpose } from '../../sdk/assembly/sql/statements'
import {
  Bind,
  Bytes,
  clientAddress,
  connectionFact,
  CONTINUE,
  Frontend,
  indexOf,
  lengthOf,
  Manifest,
  Messages,
  nowMs,
  Parse,
  part,
  ptrOf,
  Query,
  Refusal,
  settingInteger,
  Slice,
  Statements,
  Word,
} from '../../sdk/assembly/sdk'
import { Buckets } from './buckets'
import { PER_ADDRESS, PER_DATABASE, PER_USER, readConnectionRule, readRules, Rule } from './rules'
import { schema } from './schema'

export { postern_alloc } from '../../sdk/assembly/sdk'

/** 53400: configuration_limit_exceeded. */
const SQLSTATE = '53400'
const SESSIONS_MAX: i32 = 100_000
/** Prepared statements whose kind is known, of all sessions together. */
const PREPARED_MAX: i32 = 65_536
/** A message with more statements cannot be counted. */
const STATEMENTS_MAX: i32 = 10_000

const manifest = new Manifest('rate-limit', '1.0.0', 'Limits how many statements a second may run')
  .authors('The Postern Authors').license('Apache-2.0').tags('limits').config(schema())
const overLimit = manifest.counter(
  'over_limit_total', 'Statements over a limit; action: denied or counted', 'rule,action',
)
const connectionsRefused = manifest.counter('connections_refused_total', 'Connections refused')
const busiestSecond = manifest.gauge(
  'busiest_second', 'Most statements of one user, address or database in a second', 'rule',
)
const evicted = manifest.counter('buckets_evicted_total', 'Buckets given up for others')
manifest.hook('onOpening').hook('onClosed')
  .traffic(
    'onTrafficFromClient',
    'StartupMessage,Query,Parse,Bind,Describe,Execute,Close,Flush,Sync,FunctionCall',
    'batch',
  )
  .traffic('onTrafficFromServer', 'ParameterStatus', 'batch')

export function describe(): i32 {
  return manifest.output()
}

/** What is known of a connection: its names as keys, and the rules that concern it. */
class Caller extends Tracked {
  user: u64 = 0
  address: u64 = 0
  database: u64 = 0
  rules: u32 = 0
}

const sessions = new Sessions<Caller>(SESSIONS_MAX)
/** Takes the facts of a connection that has no record. */
const stranger = new Caller()
const prepared = new Table(PREPARED_MAX, 8)
const messages = new Messages()
const query = new Query()
const parse = new Parse()
const bind = new Bind()
const statements = new Statements()
const quoting = new Quoting()
const refusal = new Refusal()
const name = new Bytes()

let isConfigured: bool = false
let rules: Rule[] = []
let connectionRule: Rule | null = null
let buckets: Buckets = new Buckets(0)
let now: f64 = 0

function configure(): void {
  isConfigured = true
  rules = readRules()
  connectionRule = readConnectionRule()
  buckets = new Buckets(<i32>settingInteger('bucketsMax', 16_384))
}

/** `host:port` or `[host]:port` without its port. */
function host(address: Slice): Slice {
  let at = lengthOf(address)
  while (at > 0 && load<u8>(ptrOf(address) + at - 1) != 0x3a) at--
  return at > 0 ? part(address, 0, at - 1) : address
}

function caller(): Caller {
  const known = sessions.open()
  if (known == null) return readFacts(stranger)
  return sessions.isNew ? readFacts(known) : known
}

function readFacts(into: Caller): Caller {
  into.address = keyed(PER_ADDRESS, host(clientAddress()))
  const database = connectionFact('database')
  into.database = keyed(PER_DATABASE, database)
  // The next getter takes the place of the value.
  name.clear().add(database)
  const user = connectionFact('user')
  into.user = keyed(PER_USER, user)
  into.rules = 0
  for (let at = 0; at < rules.length; at++) {
    if (rules[at].concerns(user, name.slice)) into.rules |= 1 << at
  }
  return into
}

function scopeOf(rule: Rule, who: Caller): u64 {
  let scope: u64 = 1
  if ((rule.per & PER_USER) != 0) scope = joined(scope, who.user)
  if ((rule.per & PER_ADDRESS) != 0) scope = joined(scope, who.address)
  if ((rule.per & PER_DATABASE) != 0) scope = joined(scope, who.database)
  return scope
}

/** True for what ends a transaction or a part of one: to refuse it would hold locks for longer. */
function isEnd(kind: Word): bool {
  return kind == Word.Commit || kind == Word.End || kind == Word.Rollback || kind == Word.Abort
    || kind == Word.Release
}

/** Takes a token of each rule for a statement; false where one refuses it. */
function charge(who: Caller, kind: Word, purpose: Purpose): bool {
  if (isEnd(kind)) return true
  for (let at = 0; at < rules.length; at++) {
    if ((who.rules & (1 << at)) == 0) continue
    const rule = rules[at]
    if (!rule.meets(kind, purpose)) continue
    const waitMs = buckets.take(rule, at, scopeOf(rule, who), now)
    if (buckets.isBusiest) busiestSecond.labelText(rule.name).add(rule.busiest)
    if (buckets.hasEvicted) evicted.add()
    if (waitMs == 0) continue
    overLimit.labelText(rule.name).labelText(rule.denies ? 'denied' : 'counted').add()
    if (!rule.denies) continue
    giveBack(who, at, kind, purpose)
    word(rule, 'statements', waitMs)
    return false
  }
  return true
}

function giveBack(who: Caller, until: i32, kind: Word, purpose: Purpose): void {
  for (let at = 0; at < until; at++) {
    const rule = rules[at]
    if ((who.rules & (1 << at)) == 0 || !rule.meets(kind, purpose) || !rule.denies) continue
    buckets.giveBack(rule, at, scopeOf(rule, who))
  }
}

/** What the client is told. */
function word(rule: Rule, what: string, waitMs: f64): void {
  const seconds = <i64>max<f64>(1, Math.ceil(waitMs / 1000))
  refusal.begin(SQLSTATE)
  refusal.message.text('too many ').text(what).text(': the rate limit "').text(rule.name)
    .text('" is reached; try again in ').number(seconds).text(seconds == 1 ? ' second' : ' seconds')
  refusal.detail.text('The limit ')
  if (rule.rate >= 1) refusal.detail.text('is ').number(<i64>rule.rate).text(' a second')
  else refusal.detail.text('is 1 in ').number(<i64>Math.ceil(1 / rule.rate)).text(' seconds')
  refusal.detail.text(' on average, ').number(<i64>rule.burst).text(' at once')
  scopeWords(rule)
  refusal.hint.text('Retry after ').number(seconds).text(' s, or send less at once.')
}

function scopeWords(rule: Rule): void {
  const detail = refusal.detail
  if (rule.per == 0) detail.text(', for all together')
  else {
    detail.text(', for each')
    if ((rule.per & PER_USER) != 0) detail.text(' user')
    if ((rule.per & PER_ADDRESS) != 0) detail.text(' address')
    if ((rule.per & PER_DATABASE) != 0) detail.text(' database')
  }
  detail.text('.')
}

/** Begins to read a text; where no backslash is in it, it does not matter how the session reads. */
function openText(sql: Slice): Statements {
  return statements.open(sql, indexOf(sql, 0x5c) < 0 || quoting.load().standardStrings)
}

/** Charges each statement of a text; false where one is refused, and with it all. */
function chargeText(who: Caller, sql: Slice): bool {
  openText(sql)
  while (statements.next()) {
    if (statements.count > STATEMENTS_MAX) return allowUncounted(who)
    if (!charge(who, statements.kind, statements.purpose)) return false
  }
  return !statements.isCut || allowUncounted(who)
}

/** What is too long to be counted is refused where a rule that refuses concerns the caller. */
function allowUncounted(who: Caller): bool {
  for (let at = 0; at < rules.length; at++) {
    const rule = rules[at]
    if ((who.rules & (1 << at)) == 0 || rule.rate <= 0) continue
    overLimit.labelText(rule.name).labelText(rule.denies ? 'denied' : 'counted').add()
    if (!rule.denies) continue
    refusal.begin(SQLSTATE)
    refusal.message.text('too much in one message to be counted for the rate limit "')
      .text(rule.name).text('"')
    refusal.hint.text('Send it in several messages.')
    return false
  }
  return true
}

function preparedKey(who: Caller, statement: Slice): u64 {
  return keyed(((<u64>who.slot) << 32) | who.serial, statement)
}

/** Remembers the kind of a statement until it is bound. */
function remember(who: Caller): void {
  const place = prepared.put(preparedKey(who, parse.name))
  if (place == 0) return
  const isOne = openText(parse.sql).next()
  // What was not read to its end counts for every rule.
  const other = statements.isCut ? Word.None : Word.Other
  store<i32>(place, isOne && !statements.isCut ? statements.kind : other)
  store<i32>(place, isOne && !statements.isCut ? statements.purpose : Purpose.Other, 4)
}

function chargeBind(who: Caller): bool {
  const place = prepared.find(preparedKey(who, bind.statement))
  if (place == 0) return charge(who, Word.None, Purpose.Other)
  return charge(who, <Word>load<i32>(place), <Purpose>load<i32>(place, 4))
}

function isRefused(who: Caller): bool {
  const ptr = messages.ptr
  const length = messages.length
  switch (messages.type) {
    case Frontend.QUERY:
      return query.read(ptr, length) && !chargeText(who, query.sql)
    case Frontend.PARSE:
      if (parse.read(ptr, length)) remember(who)
      return false
    case Frontend.BIND:
      return bind.read(ptr, length) && !chargeBind(who)
    case Frontend.FUNCTION_CALL:
      return !charge(who, Word.Call, Purpose.Running)
    default:
      return false
  }
}

export function on_traffic_from_client(ptr: usize, len: i32): i32 {
  // Only a StartupMessage begins with a zero: its length has no type before it.
  if (len > 0 && load<u8>(ptr) == 0) {
    quoting.observe(ptr, len)
    return CONTINUE
  }
  if (!isConfigured) configure()
  const who = caller()
  now = nowMs()
  messages.open(ptr, len)
  while (messages.next()) if (isRefused(who)) return refusal.send()
  return CONTINUE
}

export function on_traffic_from_server(ptr: usize, len: i32): i32 {
  messages.open(ptr, len)
  while (messages.next()) quoting.observe(messages.ptr, messages.length)
  return CONTINUE
}

export function on_opening(_ptr: usize, _len: i32): i32 {
  if (!isConfigured) configure()
  const rule = connectionRule
  if (rule == null) return CONTINUE
  stranger.address = rule.per == 0 ? 0 : keyed(PER_ADDRESS, host(clientAddress()))
  const waitMs = buckets.take(rule, rules.length, scopeOf(rule, stranger), nowMs())
  if (buckets.hasEvicted) evicted.add()
  if (waitMs == 0) return CONTINUE
  connectionsRefused.add()
  word(rule, 'connections', waitMs)
  return refusal.send()
}

export function on_closed(_ptr: usize, _len: i32): i32 {
  const who = sessions.find()
  if (who != null) sessions.close(who)
  return CONTINUE
}
