/** The client's end of one session: its socket, plain or encrypted, and what is written to it. */
import type { Socket } from 'bun'
import { Outlet } from './outlet.ts'
import { type ClientSide, Handshake, type SecuredSide, type TlsOptions } from './tls.ts'

export class ClientEnd {
  readonly outlet: Outlet
  #socket: Socket<ClientSide>
  #handshake: Handshake | null = null

  constructor(socket: Socket<ClientSide>) {
    this.#socket = socket
    this.outlet = new Outlet(socket)
  }

  get socket(): Socket<ClientSide> {
    return this.#socket
  }

  /** Begins TLS; `session` hears nothing of the client until it is there. */
  secure(
    options: TlsOptions,
    begun: { readonly hello: Uint8Array; readonly now: number },
    session: SecuredSide,
  ): void {
    this.#handshake = new Handshake(this.#socket, session, options, begun)
    this.#handshake.begin()
  }

  /** TLS is there: the client is spoken to by another socket. */
  secured(socket: Socket<ClientSide>): void {
    this.#handshake = null
    this.#socket = socket
    this.outlet.attach(socket)
  }

  /** Says no more, once all is said. */
  shutdown(): void {
    this.outlet.finish(() => this.#socket.shutdown())
  }

  /** Closes behind the last words; a client in the middle of a handshake understands none. */
  close(lastWords: Uint8Array | null): void {
    if (this.#handshake !== null) return this.#handshake.abort()
    if (lastWords !== null) this.outlet.write(lastWords)
    this.outlet.finish(() => this.#socket.end())
  }

  /** Called now and then: ends what takes too long, be it a handshake or a client to be `cut`. */
  check(now: number, cut: boolean): void {
    this.#handshake?.check(now)
    if (cut) this.#socket.terminate()
  }
}
