/** What the pumps of a session ask of it. */
import type { ObserverLine } from '../hooks/observers.ts'
import type { SessionFacts } from '../hooks/step.ts'
import type { Refusal } from '../hooks/verdict.ts'
import type { ListenerOptions } from './surroundings.ts'

/** What is read, by a pump that has it stop for a while. */
export interface Source {
  pause(): void
  resume(): void
}

export interface PumpOwner {
  /** Who counts what a pump does. */
  readonly around: Pick<ListenerOptions, 'account' | 'stepFailed' | 'denied'>
  readonly facts: SessionFacts
  readonly line: ObserverLine | null
  /** Ends the session with last words to the client, if any. */
  close(lastWords: Uint8Array | null): void
  /** Ends the session because the protocol has no words for this refusal here. */
  refuse(refusal: Refusal): void
  violated(sentence: string): void
  cancel(request: Uint8Array): void
  /** The client has been let in; a promise where it must wait for a server, or for the end. */
  admitted(): Promise<void> | null
  /** TLS begins with these bytes, if any; the source is not for the pump until it is there. */
  secure(hello: Uint8Array): void
  route(block: string): string | null
  rememberRequest(bytes: Uint8Array): void
  /** The pump looked at everything that came; the other side may go on. */
  progressed(): void
  broke(thrown: unknown): void
}
