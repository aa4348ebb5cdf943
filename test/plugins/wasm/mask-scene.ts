/** What tests of the mask plugin share: one that runs, and what a client reads through it. */
import { makeSession } from '../../fixtures/wasm/kit.ts'
import {
  type CellOf,
  type ColumnOf,
  messagesIn,
  PluginTalk,
  type Session,
  says,
} from '../../fixtures/wasm/talk.ts'
import { query } from '../../kit/frontend.ts'

export const TEXT = 25
export const INT4 = 23
export const encoder = new TextEncoder()
export const bytes = (...values: readonly number[]): Uint8Array => new Uint8Array(values)

export let talk: PluginTalk
export let session: Session
/** Starts it anew; each file has this done before each of its tests. */
export async function startMask(): Promise<void> {
  talk = await PluginTalk.start('mask')
  session = makeSession()
}

/** Takes another plugin for the rest of a test. */
export function talkTo(other: PluginTalk): void {
  talk = other
}

/** The rows of a reply; an error is told by its code. */
export function rowsIn(reply: Uint8Array): unknown[] {
  return messagesIn(reply).flatMap((each): unknown[] => {
    if (each.name === 'DataRow') return [each.values]
    return each.name === 'ErrorResponse' ? [each.code] : []
  })
}

export type Columns = readonly ColumnOf[]
export type Cells = readonly CellOf[]

/** The one row of a Query's reply, as the client gets it. */
export function shown(columns: Columns, cells: Cells, on = talk, of = session): unknown {
  on.send(of, query('select'))
  const reply = [says.columns(...columns), says.cells(...cells), says.complete('SELECT 1')]
  return rowsIn(on.reply(of, ...reply, says.ready()))[0]
}

/** The cell's bytes, for what is no text. */
export function cellShown(column: Columns[number], cell: Cells[number], on = talk) {
  on.send(session, query('select'))
  const got = on.messages(session, says.columns(column), says.cells(cell), says.ready())
  const row = got.find((each) => each.name === 'DataRow')
  return row?.name === 'DataRow' ? row.cells[0] : undefined
}
