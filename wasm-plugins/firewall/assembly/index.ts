/**
 * The firewall plugin: what a statement may be, by the operator's rules and by what no application
 * does. It refuses or tells; it never changes a statement.
 */
import { CONTINUE } from '../../sdk/assembly/host'
import { Manifest } from '../../sdk/assembly/manifest'
import { FunctionCall, Parse, Query, StartupMessage } from '../../sdk/assembly/postgres/frontend'
import { Frontend } from '../../sdk/assembly/postgres/messages'
import { lengthOf, NONE } from '../../sdk/assembly/slice'
import { readSettings, Response, SCHEMA, Settings } from './configuration'
import { examineCall, examineText, HINT_READ_ONLY } from './examine'
import { Counts, find, settle } from './findings'
import { STARTUP, TEXT } from './kinds'
import { observe, readStartup } from './session'

export { postern_alloc } from '../../sdk/assembly/host'

const manifest = new Manifest(
  'firewall',
  '1.0.0',
  'Refuses statements by rules, and what applications never do',
)
Counts.seen = manifest.counter('statements_total', 'Statements by kind', 'kind')
Counts.denied = manifest.counter('denied_total', 'Statements refused, by rule', 'rule')
Counts.observed = manifest.counter('observed_total', 'Findings that refused nothing', 'rule')
Counts.learned = manifest.counter('learned_total', 'Rules that were written in learn mode')
Counts.unwritten = manifest.counter('lines_dropped_total', 'Findings without a line in the log')
manifest.authors('The Postern Authors').license('Apache-2.0').tags('firewall,security')
manifest.traffic('onTrafficFromClient', 'Query,Parse,FunctionCall,StartupMessage')
manifest.traffic('onTrafficFromServer', 'ParameterStatus')
manifest.config(SCHEMA)

const query = new Query()
const parse = new Parse()
const call = new FunctionCall()
const startup = new StartupMessage()

export function describe(): i32 {
  return manifest.output()
}

/** The server tells how it reads texts. */
export function on_traffic_from_server(ptr: usize, len: i32): i32 {
  observe(ptr, len)
  return CONTINUE
}

export function on_traffic_from_client(ptr: usize, len: i32): i32 {
  if (!Settings.isRead) readSettings()
  const type = len > 0 ? load<u8>(ptr) : 0
  if (type == Frontend.QUERY) {
    // Behind the zero byte of the text stands nothing.
    if (query.read(ptr, len) && lengthOf(query.sql) + 6 == len) return examineText(query.sql)
    return refuseMessage()
  }
  if (type == Frontend.PARSE) {
    return parse.read(ptr, len) ? examineText(parse.sql) : refuseMessage()
  }
  if (type == Frontend.FUNCTION_CALL) {
    return call.read(ptr, len) ? examineCall(call.oid) : refuseMessage()
  }
  if (type != 0 || !startup.read(ptr, len)) return CONTINUE
  // Where the gateway answers logins itself, no ParameterStatus tells.
  observe(ptr, len)
  const wantsToWrite = readStartup(startup)
  if (!wantsToWrite || !Settings.readOnly) return CONTINUE
  find('read-only', '25006', 'the session begins with a setting to write', HINT_READ_ONLY)
  return settle(Response.Deny, STARTUP, NONE)
}

/** A message that is not as the protocol has it, which the server refuses too. */
function refuseMessage(): i32 {
  find('unreadable', '08P01', 'the message is not as the protocol has it', '')
  return settle(Response.Deny, TEXT, NONE)
}
