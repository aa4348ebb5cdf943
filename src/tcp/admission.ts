/**
 * What a client that has been let in is given: it is greeted at once, in the words that the pool's
 * connections are known to say, and gets one of them with its first words. Where its settings must
 * be tried first, or nothing is known yet, it is greeted when it has a connection.
 */
import type { Refusal } from '../hooks/verdict.ts'
import type { Conversation } from '../protocols/protocol.ts'
import { issueKey } from './cancel-keys.ts'
import type { ServerSide } from './server-side.ts'

/** A session on its way to a server connection. */
export interface Arriving {
  readonly server: ServerSide
  readonly conversation: Conversation
  /** The server side has a connection. */
  connected(): void
  refuse(refusal: Refusal): void
}

/** Null: the client has been greeted; else it is when the promise resolves, or it was refused. */
export function admit({ server, conversation, connected, refuse }: Arriving): Promise<void> | null {
  const { startup } = conversation
  const key = issueKey({ long: conversation.takesLongKeys })
  const assumed = server.assume(startup)
  if (assumed !== null) {
    if (conversation.sharing !== null) server.unmet = true
    else {
      server.promise(() => {
        server.reach(startup, (refusal) => {
          if (refusal !== null) return refuse(refusal)
          connected()
          if (server.kept !== null) conversation.correct(assumed, server.kept.state.parameters)
        })
      })
    }
    conversation.admit(assumed, key)
    return null
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  server.reach(startup, (refusal) => {
    if (refusal !== null) refuse(refusal)
    else if (server.kept !== null) {
      connected()
      conversation.admit(server.kept.state.parameters, key)
    }
    resolve()
  })
  return promise
}
