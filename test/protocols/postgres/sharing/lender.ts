/** A lessor with connections that are only said to be there, and a server of few words. */

import { SharedConnection } from '../../../../src/protocols/postgres/sharing/connection.ts'
import {
  type SharingLimits,
  sharingTerms,
} from '../../../../src/protocols/postgres/sharing/terms.ts'
import type { Gate, Lessor, ServerState } from '../../../../src/protocols/protocol.ts'
import { concat, startup } from '../../../kit/frontend.ts'
import { Stage, type StageOptions, server as says } from '../stage.ts'

const IN = { kind: 'admitted', bytes: new Uint8Array(0) } as const

const GATE: Gate = {
  doorkeeper: () => ({ begin: () => IN, take: () => IN }),
  database: 'shop',
  shares: true,
  turnedAway: () => {},
}

export const PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['TimeZone', 'UTC'],
  ['standard_conforming_strings', 'on'],
])

export function connection(): ServerState {
  const parameters = new Map(PARAMETERS)
  return { parameters, cancelKey: new Uint8Array(0), shared: new SharedConnection() }
}

const LIMITS: SharingLimits = {
  strict: false,
  serverStatementsMax: 100,
  clientStatementsMax: 100,
  statementBytesMax: 100_000,
}

export class Lender implements Lessor {
  readonly terms
  /** Null: none is free. */
  free: ServerState | null
  asked = 0
  stage: Stage | null = null

  constructor(limits: Partial<SharingLimits> = {}) {
    this.terms = sharingTerms({ ...LIMITS, ...limits })
    this.free = connection()
  }

  fetch(): boolean {
    this.asked += 1
    if (this.free === null) return false
    this.stage!.conversation.sharing!.borrow(this.free)
    return true
  }

  /** A client that is in, whose connections come from here. */
  enter(options: StageOptions = {}): Stage {
    const stage = new Stage({ ...options, gate: GATE, lessor: this })
    this.stage = stage
    stage.client(startup({ user: 'ann', database: 'shop' }))
    stage.conversation.admit(PARAMETERS, new Uint8Array(8))
    stage.clientRead()
    stage.serverRead()
    stage.events.length = 0
    stage.units.client.length = 0
    return stage
  }

  /** Gives the connection back where that is possible; false where it is not. */
  takeBack(): boolean {
    const { sharing } = this.stage!.conversation
    if (!sharing!.releasable) return false
    sharing!.giveBack()
    return true
  }
}

const COMPLETE = says.complete('SELECT 1')

/** What a server answers that finds nothing wrong. */
const ANSWERS: Readonly<Record<string, Uint8Array>> = {
  P: says.parsed(),
  B: says.bound(),
  D: says.noColumns(),
  E: COMPLETE,
  C: says.closed(),
  S: says.ready(),
  Q: concat(COMPLETE, says.ready()),
}

export function answersTo(types: string): Uint8Array {
  return concat(...[...types].map((type) => ANSWERS[type] ?? new Uint8Array(0)))
}
