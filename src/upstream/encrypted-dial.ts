/**
 * One attempt to connect to a database with TLS: the request, its answer of one byte, the
 * handshake, the check. The session gets a socket only when all of it is done.
 */
import type { Socket, SocketHandler } from 'bun'
import type { Encryption } from './encryption.ts'

/** Connects a socket with the given handlers, which are replaced later. */
export type Connect<Owner> = (handlers: SocketHandler<Owner>) => Promise<Socket<Owner>>

export type Attempted<Owner> =
  | { readonly kind: 'connected'; readonly socket: Socket<Owner> }
  | { readonly kind: 'failed'; readonly cause: string }

const SSL_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47)
const GRANTED = 0x53
const NOT_GRANTED = 0x4e
const ERROR = 0x45
/** How much of an error instead of an answer is read and shown. */
const ERROR_BYTES_MAX = 1024

/** The library's words for a handshake that broke, as against one with a bad certificate. */
const BROKEN = /^E[A-Z]+$/

export class EncryptedDial<Owner> {
  readonly #encryption: Encryption
  readonly #connect: Connect<Owner>
  readonly #handlers: SocketHandler<Owner>
  readonly #owner: Owner
  readonly #outcome = Promise.withResolvers<Attempted<Owner>>()
  #socket: Socket<Owner> | null = null
  #state: 'asking' | 'shaking' | 'over' = 'asking'
  #error: Uint8Array = new Uint8Array(0)

  constructor(
    encryption: Encryption,
    connect: Connect<Owner>,
    handlers: SocketHandler<Owner>,
    owner: Owner,
  ) {
    this.#encryption = encryption
    this.#connect = connect
    this.#handlers = handlers
    this.#owner = owner
  }

  /** Rejects where no connection is made at all. */
  async run(): Promise<Attempted<Owner>> {
    await this.#encryption.refresh()
    const socket = await this.#connect({
      binaryType: 'uint8array',
      data: (_, chunk) => this.#answered(chunk),
      end: () => this.#ended(),
      close: () => this.#ended(),
      error: () => this.#ended(),
      drain() {},
      connectError() {},
    })
    if (this.#state === 'over') socket.terminate()
    else {
      this.#socket = socket
      socket.write(SSL_REQUEST)
    }
    return await this.#outcome.promise
  }

  /** Nobody waits for it any longer. */
  abandon(): void {
    this.#fail('it was given up')
  }

  #answered(chunk: Uint8Array): void {
    if (this.#state !== 'asking' || this.#socket === null) return
    const [answer] = this.#error.length > 0 ? this.#error : chunk
    if (answer === ERROR) {
      this.#error = Buffer.concat([this.#error, chunk])
      if (this.#error.length > ERROR_BYTES_MAX) this.#ended()
      return
    }
    if (chunk.length > 1) {
      return this.#fail('bytes follow its answer about TLS; somebody may be between it and us')
    }
    if (answer === GRANTED) return this.#shake(this.#socket)
    if (answer !== NOT_GRANTED) return this.#fail('it answers as no PostgreSQL does')
    if (this.#encryption.optional) return this.#succeed(this.#socket)
    this.#fail('it has no TLS, which sslMode demands; set ssl = on there, or another sslMode here')
  }

  #ended(): void {
    if (this.#state === 'shaking')
      return this.#fail('it closed the connection during the handshake')
    const said = printable(this.#error)
    if (said !== '') return this.#fail(`instead of TLS it answers: ${said}`)
    this.#fail('it closed the connection when it was asked for TLS')
  }

  #shake(plain: Socket<Owner>): void {
    this.#state = 'shaking'
    const [raw, secure] = plain.upgradeTLS<Owner>({
      data: this.#owner,
      tls: this.#encryption.handshakeOptions,
      socket: {
        binaryType: 'uint8array',
        handshake: (socket, established, error) => this.#shaken(socket, established, error),
        data() {},
        drain() {},
        end: () => this.#ended(),
        close: () => this.#ended(),
        error: () => this.#ended(),
      },
    })
    this.#socket = secure
    // Without a handler for them no copies of the encrypted bytes are made.
    raw.reload({ socket: { drain() {} } })
  }

  #shaken(socket: Socket<Owner>, established: boolean, error: Error | null): void {
    if (this.#state !== 'shaking') return
    this.#socket = socket
    const code = error !== null && 'code' in error ? String(error.code) : ''
    if (!established && BROKEN.test(code)) {
      return this.#fail(`the TLS handshake failed (${code}): ${error?.message ?? ''}`)
    }
    const certificate = socket.getPeerCertificate() ?? null
    const flaw = this.#encryption.flawOf({ authorized: socket.authorized, code, certificate })
    if (flaw === null) this.#succeed(socket)
    else this.#fail(flaw)
  }

  #succeed(socket: Socket<Owner>): void {
    this.#state = 'over'
    socket.reload({ socket: this.#handlers })
    this.#outcome.resolve({ kind: 'connected', socket })
  }

  #fail(cause: string): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#socket?.terminate()
    this.#outcome.resolve({ kind: 'failed', cause })
  }
}

/** The words in a message of any version of the protocol. */
function printable(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(1, ERROR_BYTES_MAX)).toString('latin1')
  return text.replaceAll(/[^ -~]+/g, ' ').trim()
}
