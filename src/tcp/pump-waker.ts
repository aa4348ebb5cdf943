/** Wakes the pumps of a session for its conversation. One small object: each session has one. */
import type { Waker } from '../protocols/protocol.ts'

interface Wakeable {
  wake(): void
}

export class PumpWaker implements Waker {
  toServer: Wakeable | null = null
  toClient: Wakeable | null = null

  wakeToServer(): void {
    this.toServer?.wake()
  }

  wakeToClient(): void {
    this.toClient?.wake()
  }
}
