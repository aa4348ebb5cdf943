/** What a generation built for one direction of its sessions. */
import type { ChainStep } from '../hooks/chain.ts'
import type { Observer } from '../hooks/observers.ts'
import type { FromClientStep } from '../hooks/step.ts'
import type { Wanted } from '../protocols/protocol.ts'

/** Its steps and observers. */
export interface DirectionHooks {
  readonly decides: 'onTrafficFromClient' | 'onTrafficFromServer'
  readonly observes: 'onTrafficToServer' | 'onTrafficToClient'
  readonly steps: readonly ChainStep[]
  /** How the stream is cut: as the widest of the steps and observers asks. */
  readonly wanted: Wanted
  /** Steps that are also shown the requests for encryption and the client's end. */
  readonly edges: readonly FromClientStep[]
  readonly observers: readonly Observer[]
  /** True where a step wants to know the request last sent. */
  readonly keepsRequest: boolean
}
