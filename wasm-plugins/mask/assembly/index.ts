/** The mask plugin: hides values in results, by column and by their look; see README.md. */
import { firstIn, numberIn, secondIn } from '../../shared/assembly/requests'
import { keyed } from '../../shared/assembly/secret'
import { Sessions } from '../../shared/assembly/sessions'
import { Table } from '../../shared/assembly/table'
import {
  Backend,
  Bind,
  CommandComplete,
  connectionFact,
  CONTINUE,
  Execute,
  Frontend,
  isText,
  Manifest,
  Messages,
  MessageWriter,
  Parse,
  RowDescription,
  settingBytes,
  settingChoice,
  Slice,
  Target,
} from '../../sdk/assembly/sdk'
import { beginOutput, cancelMessage, endOutput, putInstead, touched } from './output'
import { formatsOf, planAt, planFor, plans, UNKNOWN, withFormats } from './plans'
import { emptyRow, maskRow, setText, text, Ways } from './rows'
import { readRules, ruleAt, rulesCount, rulesFor, valuesOf } from './rules'
import { schema } from './schema'
import { Talk } from './talk'
import { cards, clearFound, cover, emails, phones } from './values'

export { postern_alloc } from '../../sdk/assembly/sdk'

const SESSIONS_MAX: i32 = 100_000
/** Statements and portals of all connections together whose columns are known. */
const STATEMENTS_MAX: i32 = 131_072
const PORTALS_MAX: i32 = 32_768
/** 42501: insufficient_privilege. */
const SQLSTATE = '42501'

const manifest = new Manifest('mask', '1.0.0', 'Masks columns of results by name and by value')
  .authors('The Postern Authors').license('Apache-2.0').tags('privacy').config(schema())
const masked = manifest.counter(
  'values_masked_total', 'Values masked; by: the rule that names the column, or the find', 'by',
)
const unknownRows = manifest.counter('rows_unknown_total', 'Rows whose columns were not known')
const copiesDenied = manifest.counter('copies_denied_total', 'COPY … TO STDOUT refused')
const forgotten = manifest.counter('plans_forgotten_total', 'Times that all columns were forgotten')
manifest
  .traffic(
    'onTrafficToServer', 'Query,Parse,Bind,Describe,Execute,Close,Sync,CopyDone,CopyFail', 'batch',
  )
  .traffic(
    'onTrafficFromServer',
    'RowDescription,DataRow,CommandComplete,ErrorResponse,NoticeResponse,ReadyForQuery,' +
      'ParseComplete,BindComplete,CloseComplete,NoData,ParameterDescription,EmptyQueryResponse,' +
      'PortalSuspended,CopyInResponse,CopyOutResponse,CopyData,CopyDone',
    'batch',
  )
  .hook('onClosed')

export function describe(): i32 {
  return manifest.output()
}

const sessions = new Sessions<Talk>(SESSIONS_MAX)
/** By session and name: the number of a Parse and the plan of its columns. */
const statements = new Table(STATEMENTS_MAX, 8)
/** By session and name: the plan, the formats, and which statement it is of. */
const portals = new Table(PORTALS_MAX, 24)
const messages = new Messages()
const parse = new Parse()
const bind = new Bind()
const target = new Target()
const execute = new Execute()
const columns = new RowDescription()
const complete = new CommandComplete()
const refusal = new MessageWriter()

let isConfigured: bool = false
let deniesUnknown: bool = true
let deniesCopy: bool = true
let parses: i32 = 0

function configure(): void {
  isConfigured = true
  readRules()
  settingBytes('text', text)
  setText()
  Ways.zeroes = settingChoice('others', 'null zero', 0) == 1
  Ways.userTypesAreText = settingChoice('userTypes', 'null text', 0) == 1
  deniesUnknown = settingChoice('unknown', 'deny null', 0) == 0
  deniesCopy = settingChoice('copy', 'deny allow', 0) == 0
}

/** What is known of the present connection; null for one too many. */
function talk(): Talk | null {
  if (!isConfigured) configure()
  const known = sessions.open()
  if (known != null && sessions.isNew) known.reset(rulesFor(connectionFact('user')))
  return known
}

function keyOf(who: Talk, kind: u64, name: Slice): u64 {
  const owner = ((<u64>who.slot) << 32) | who.serial
  return keyed(owner ^ ((<u64>who.epoch) << 16) ^ (kind << 56), name)
}

function statementKey(who: Talk, name: Slice): u64 {
  return keyOf(who, 1, name)
}

function portalKey(who: Talk, name: Slice): u64 {
  return keyOf(who, 2, name)
}

export function on_traffic_to_server(ptr: usize, len: i32): i32 {
  const who = talk()
  if (who == null || who.rules == 0) return CONTINUE
  messages.open(ptr, len)
  while (messages.next()) note(who)
  return CONTINUE
}

function note(who: Talk): void {
  const type = messages.type
  const ptr = messages.ptr
  const length = messages.length
  switch (type) {
    case Frontend.PARSE:
      if (parse.read(ptr, length)) who.sent(type, 0, statementKey(who, parse.name))
      return
    case Frontend.BIND: {
      if (!bind.read(ptr, length)) return
      const formats = formatsOf(bind)
      who.sent(type, formats, statementKey(who, bind.statement), portalKey(who, bind.portal))
      return
    }
    case Frontend.DESCRIBE:
    case Frontend.CLOSE:
      if (!target.read(type, ptr, length)) return
      if (target.isStatement) who.sent(type, 0, statementKey(who, target.name))
      else who.sent(type, 0, 0, portalKey(who, target.name))
      return
    case Frontend.EXECUTE:
      if (execute.read(ptr, length)) who.sent(type, 0, 0, portalKey(who, execute.portal))
      return
    default:
      who.sent(type)
  }
}

export function on_traffic_from_server(ptr: usize, len: i32): i32 {
  const who = talk()
  if (who == null) return hideAll(ptr, len)
  if (who.rules == 0) return CONTINUE
  clearFound()
  beginOutput(ptr, len)
  messages.open(ptr, len)
  while (messages.next()) {
    if (who.isWithheld) withhold(who)
    else answer(who)
    who.before = messages.type
  }
  count()
  const verdict = endOutput()
  // Without memory nothing goes out that was not masked.
  return verdict < 0 ? hideAll(ptr, len) : verdict
}

/** For connections of which nothing can be known: their rows are empty. */
function hideAll(ptr: usize, len: i32): i32 {
  if (rulesFor(connectionFact('user')) == 0) return CONTINUE
  unknownRows.add()
  beginOutput(ptr, len)
  messages.open(ptr, len)
  while (messages.next()) {
    const behind = messages.ptr + messages.length
    if (messages.type == Backend.DATA_ROW || messages.type == Backend.COPY_DATA) {
      putInstead(messages.ptr, behind, null)
    }
  }
  const verdict = endOutput()
  return verdict < 0 ? replaceWithNothing() : verdict
}

/** An empty payload in place of everything. */
function replaceWithNothing(): i32 {
  beginOutput(0, 0)
  touched()
  return endOutput()
}

function count(): void {
  if (emails > 0) masked.labelText('email').add(emails)
  if (cards > 0) masked.labelText('card').add(cards)
  if (phones > 0) masked.labelText('phone').add(phones)
  if (plans.forgotten > 0) forgotten.add(plans.forgotten)
  plans.forgotten = 0
  for (let at = 0; at < rulesCount(); at++) {
    const rule = ruleAt(at)
    if (rule.masked > 0) masked.labelText(rule.name).add(rule.masked)
    rule.masked = 0
  }
}

/** Takes a message of the server. */
function answer(who: Talk): void {
  const ptr = messages.ptr
  switch (messages.type) {
    case Backend.DATA_ROW:
      return row(who)
    case Backend.ROW_DESCRIPTION:
      return described(who)
    case Backend.BIND_COMPLETE:
      return bound(who)
    case Backend.PARSE_COMPLETE:
      return parsed(who)
    case Backend.NO_DATA:
      return settle(who, Frontend.DESCRIBE)
    case Backend.CLOSE_COMPLETE:
      return closed(who)
    case Backend.COMMAND_COMPLETE:
      if (complete.read(ptr, messages.length)) completed(who)
      return
    case Backend.EMPTY_QUERY_RESPONSE:
    case Backend.PORTAL_SUSPENDED:
      who.plan = UNKNOWN
      return settle(who, Frontend.EXECUTE)
    case Backend.ERROR_RESPONSE:
      failed(who)
    // falls through
    case Backend.NOTICE_RESPONSE:
      return searchWords(who)
    case Backend.COPY_IN_RESPONSE:
      return who.beginCopyIn()
    case Backend.COPY_OUT_RESPONSE:
      if (!deniesCopy) return
      copiesDenied.add()
      return refuse(
        who,
        'COPY TO STDOUT is not allowed where values are masked',
        'Use SELECT, or ask for a user whose results are not masked.',
      )
    case Backend.READY_FOR_QUERY:
      return ready(who)
  }
}

function ready(who: Talk): void {
  who.plan = UNKNOWN
  who.isWithheld = false
  who.ready()
}

function settle(who: Talk, type: u8): void {
  const entry = who.awaited(type)
  if (entry != 0) who.answered(entry)
}

function completed(who: Talk): void {
  who.plan = UNKNOWN
  settle(who, Frontend.EXECUTE)
  who.endCopyIn()
  // SQL can give the name of a statement that is gone to another one.
  if (isText(complete.tag, 'PREPARE')) who.epoch++
}

function failed(who: Talk): void {
  who.plan = UNKNOWN
  const oldest = who.awaited(Frontend.PARSE)
  if (oldest != 0) statements.remove(firstIn(oldest))
  who.failed()
}

function parsed(who: Talk): void {
  const entry = who.awaited(Frontend.PARSE)
  if (entry == 0) return
  const place = statements.put(firstIn(entry))
  if (place != 0) {
    store<i32>(place, ++parses)
    store<i32>(place, UNKNOWN, 4)
  }
  who.answered(entry)
}

function bound(who: Talk): void {
  who.plan = UNKNOWN
  const entry = who.awaited(Frontend.BIND)
  if (entry == 0) return
  const statement = statements.find(firstIn(entry))
  const place = portals.put(secondIn(entry))
  if (place != 0) {
    store<i32>(place, UNKNOWN)
    store<i32>(place, numberIn(entry), 4)
    store<u64>(place, firstIn(entry), 8)
    store<i32>(place, statement == 0 ? 0 : load<i32>(statement), 16)
  }
  who.answered(entry)
}

function closed(who: Talk): void {
  const entry = who.awaited(Frontend.CLOSE)
  if (entry == 0) return
  if (firstIn(entry) != 0) statements.remove(firstIn(entry))
  else portals.remove(secondIn(entry))
  who.answered(entry)
}

/** The columns of a statement, of a portal, or of the rows of a Query that come now. */
function described(who: Talk): void {
  const isRead = columns.read(messages.ptr, messages.length)
  const plan = isRead ? planFor(columns, messages.whole, who.rules) : UNKNOWN
  const entry = who.awaited(Frontend.DESCRIBE)
  if (entry == 0) {
    who.plan = plan
    return
  }
  if (firstIn(entry) != 0) {
    // Only Describe of a statement tells its parameters before its columns.
    if (who.before != Backend.PARAMETER_DESCRIPTION) return
    // Of a statement that only SQL has prepared, no Parse has told.
    const place = statements.find(firstIn(entry))
    if (place != 0) store<i32>(place, plan, 4)
  } else {
    const place = portals.put(secondIn(entry))
    if (place != 0 && planAt(load<i32>(place)) == 0) store<i32>(place, plan)
  }
  who.answered(entry)
}

/** The plan of the portal whose rows come now. */
function planOfPortal(who: Talk): i32 {
  const entry = who.awaited(Frontend.EXECUTE)
  const portal = entry == 0 ? 0 : portals.find(secondIn(entry))
  if (portal == 0) return UNKNOWN
  if (planAt(load<i32>(portal)) != 0) return load<i32>(portal)
  const statement = statements.find(load<u64>(portal, 8))
  // Another statement may have taken the name since.
  if (statement == 0 || load<i32>(statement) != load<i32>(portal, 16)) return UNKNOWN
  const plan = withFormats(load<i32>(statement, 4), load<i32>(portal, 4))
  store<i32>(portal, plan)
  return plan
}

function row(who: Talk): void {
  if (who.plan == UNKNOWN) who.plan = planOfPortal(who)
  const plan = planAt(who.plan)
  if (plan != 0 && maskRow(messages.ptr, messages.length, plan)) return
  cancelMessage()
  unknownRows.add()
  if (!deniesUnknown) return emptyRow(messages.ptr, messages.length)
  refuse(
    who,
    'the columns of these rows are not known, and some may have to be masked',
    'Have the statement described (Describe) before it is executed, or prepare it anew.',
  )
}

/** Values that errors and notices repeat: of those only what they look like is known. */
function searchWords(who: Talk): void {
  const values = valuesOf(who.rules)
  if (values == 0) return
  const from = messages.ptr + 5
  if (cover(from, messages.length - 5, values)) touched()
}

/** An error takes the place of the rest of the reply. */
function refuse(who: Talk, message: string, hint: string): void {
  refusal.clear().errorResponse(SQLSTATE, message, '', hint)
  putInstead(messages.ptr, messages.ptr + messages.length, refusal.bytes)
  who.plan = UNKNOWN
  who.failed()
  who.isWithheld = true
}

/** Leaves out what belongs to a reply that was refused, up to its end. */
function withhold(who: Talk): void {
  switch (messages.type) {
    case Backend.READY_FOR_QUERY:
      return ready(who)
    case Backend.NOTICE_RESPONSE:
      return searchWords(who)
    default:
      putInstead(messages.ptr, messages.ptr + messages.length, null)
  }
}

export function on_closed(_ptr: usize, _len: i32): i32 {
  const who = sessions.find()
  if (who == null) return CONTINUE
  who.release()
  sessions.close(who)
  return CONTINUE
}
