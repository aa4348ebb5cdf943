/** How a session stands between its two sides, read from the parts that know it. */
import type { Conversation } from '../protocols/protocol.ts'
import type { ClientEnd } from './client-end.ts'
import type { Pump } from './pump.ts'
import type { ServerSide } from './server-side.ts'
import type { Standing, Waits } from './waits.ts'

/**
 * - `opening`: asked about and dialled for; the client is not read
 * - `refusing`: the client is heard out, there is no server
 * - `running`: both sides are there, or the gateway lets the client in and there is no server yet
 * - `cancelling`: a CancelRequest is carried to its server
 * - `closing`: what is written is being flushed
 */
export type SessionState = 'opening' | 'refusing' | 'running' | 'cancelling' | 'closing' | 'closed'

export interface Parts {
  readonly conversation: Conversation
  readonly toServer: Pump
  readonly toClient: Pump
  readonly server: ServerSide
  readonly client: ClientEnd
  readonly waits: Waits
}

export class SessionStanding implements Standing {
  readonly parts: Parts

  constructor(parts: Parts) {
    this.parts = parts
  }

  get underWay(): boolean {
    const { conversation, toServer, toClient } = this.parts
    return conversation.owes || toServer.busy || toClient.busy
  }
  get loggedIn(): boolean {
    return this.parts.conversation.loggedIn
  }
  get awaitsServer(): boolean {
    const { conversation, toServer, toClient, client, server } = this.parts
    // Not where the client, or a step, is what keeps its words from going on.
    const held = toServer.busy || toClient.busy || client.outlet.full
    return !held && server.socket !== null && conversation.awaitsServer
  }
  get keptForServer(): number {
    const { server } = this.parts
    return server.socket === null ? 0 : server.outlet.kept
  }
}
