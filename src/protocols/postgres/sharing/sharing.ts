/** A session's part in sharing connections, as the data path sees it. */
import type { ServerState, Sharing } from '../../protocol.ts'
import { parameterStatus } from '../login/answers.ts'
import type { Talk } from '../talk.ts'
import type { Borrower } from './borrower.ts'
import type { Profile } from './profile.ts'

interface Flows {
  readonly fromClient: { readonly midMessage: boolean }
  readonly fromServer: { readonly atRest: boolean }
}

export class PostgresSharing implements Sharing {
  readonly #talk: Talk
  readonly #borrower: Borrower
  readonly #flows: Flows

  constructor(talk: Talk, borrower: Borrower, flows: Flows) {
    this.#talk = talk
    this.#borrower = borrower
    this.#flows = flows
  }

  get profile(): Profile | null {
    return this.#borrower.profile
  }

  get pinned(): boolean {
    return this.#borrower.pinned
  }

  get releasable(): boolean {
    const { ledger, refusals, toServerDue } = this.#talk
    if (!ledger.quiet || this.#borrower.pinned || this.#borrower.busy) return false
    if (refusals.size > 0 || toServerDue.length > 0) return false
    const { fromClient, fromServer } = this.#flows
    return !fromClient.midMessage && fromServer.atRest
  }

  get soiled(): boolean {
    return this.#talk.ledger.mixed
  }

  borrow(state: ServerState): void {
    const { profile, terms } = this.#borrower
    this.#borrower.borrow(state)
    const actual = state.shared.profile(state, terms.profiles)
    if (profile === null || profile === actual) return
    // What nobody can set is the server's own, and another server may be in its place.
    for (const [name, value] of actual.parameters) {
      if (profile.parameters.get(name) === value) continue
      this.#talk.tellClient(parameterStatus(name, value))
    }
  }

  giveBack(): void {
    this.#talk.ledger.mixed = false
    this.#borrower.giveBack()
  }

  end(): void {
    this.#borrower.end()
  }
}
