/**
 * TLS to clients: begun on an open connection, in place, when a client has asked for it or begins
 * with it. While it begins, the handshake stands where the session stood; then the session gets a
 * socket of the same kind as before.
 */
import type { Socket, SocketHandler } from 'bun'
import { subjectText } from '../base/certificates.ts'
import type { WatchedFiles } from '../base/watched-files.ts'
import type { SessionFacts } from '../hooks/step.ts'
import type { Refusal } from '../hooks/verdict.ts'
import type { SecuredOutcome, ShownCertificate } from '../protocols/protocol.ts'
import type { TlsAccount, TlsFailure } from './account.ts'
import type { CertificateStore, NativeContext } from './certificate-store.ts'
import { serverNameIn } from './client-hello.ts'
import { CERTIFICATE_NEEDED, CERTIFICATE_UNKNOWN } from './refusals.ts'

/** Who hears of a client's socket: its session, or the handshake in the session's place. */
export interface ClientSide {
  fromClient(chunk: Uint8Array): void
  clientDrained(): void
  clientEnded(): void
  clientClosed(): void
}

export type TlsFacts = NonNullable<SessionFacts['tls']>

/** The session that waits for a handshake. */
export interface SecuredSide extends ClientSide {
  /** TLS is there; a client that is `refused` is to be heard out. */
  secured(socket: Socket<ClientSide>, facts: TlsFacts, outcome: SecuredOutcome): void
  /** Something inside went wrong. */
  broke(thrown: unknown): void
}

export interface TlsOptions {
  readonly certificates: WatchedFiles<CertificateStore>
  readonly required: boolean
  readonly clientCert: 'none' | 'optional' | 'required'
  /** 0: none. */
  readonly handshakeTimeoutMs: number
  readonly account: TlsAccount
}

/** The only protocol spoken here, as ALPN names it, with its length before it. */
const ALPN_NAME = 'postgresql'
const ALPN = Buffer.from(`${String.fromCharCode(ALPN_NAME.length)}${ALPN_NAME}`, 'latin1')

/** Hears of the encrypted bytes, which nobody needs: Bun tells of them beside those they hold. */
const NOBODY: ClientSide = {
  fromClient() {},
  clientDrained() {},
  clientEnded() {},
  clientClosed() {},
}

const tlsHandlers: SocketHandler<ClientSide> = {
  binaryType: 'uint8array',
  handshake: (socket, established) => {
    if (socket.data instanceof Handshake) socket.data.shaken(socket, established)
  },
  data: (socket, chunk) => socket.data.fromClient(chunk),
  drain: (socket) => socket.data.clientDrained(),
  end: (socket) => socket.data.clientEnded(),
  close: (socket) => socket.data.clientClosed(),
  error: (socket) => socket.data.clientClosed(),
}

/** One handshake, from the request for encryption to its end. */
export class Handshake implements ClientSide {
  readonly #options: TlsOptions
  readonly #session: SecuredSide
  /** The client began with TLS itself, without asking: then it must have named the protocol. */
  readonly #direct: boolean
  readonly #startedAt: number
  #socket: Socket<ClientSide>
  #hello: Uint8Array
  #certificate: ShownCertificate = { pem: '' }
  /** `hello`: the first message is awaited, for the name in it; `over`: it has failed. */
  #state: 'hello' | 'shaking' | 'over' = 'hello'

  constructor(
    socket: Socket<ClientSide>,
    session: SecuredSide,
    options: TlsOptions,
    begun: { readonly hello: Uint8Array; readonly now: number },
  ) {
    this.#socket = socket
    this.#session = session
    this.#options = options
    this.#hello = begun.hello
    this.#direct = begun.hello.length > 0
    this.#startedAt = begun.now
  }

  begin(): void {
    this.#socket.data = this
    this.#socket.resume()
    const store = this.#options.certificates.current
    if (store.dependsOnName) this.#look(store)
    else this.#shake(store, null)
  }

  fromClient(chunk: Uint8Array): void {
    if (this.#state !== 'hello') return
    this.#hello = Buffer.concat([this.#hello, chunk])
    this.#look(this.#options.certificates.current)
  }

  clientDrained(): void {}

  clientEnded(): void {
    this.#fail('closed')
  }

  clientClosed(): void {
    this.#count('closed')
    this.#session.clientClosed()
  }

  /** Called now and then: ends a handshake that takes too long. `now` in milliseconds. */
  check(now: number): void {
    const { handshakeTimeoutMs } = this.#options
    if (handshakeTimeoutMs > 0 && now - this.#startedAt >= handshakeTimeoutMs) this.#fail('timeout')
  }

  /** The session ends. */
  abort(): void {
    this.#fail('closed')
  }

  /** Waits for the whole first message, and takes the certificate for the name in it. */
  #look(store: CertificateStore): void {
    const found = serverNameIn(this.#hello)
    if (found.kind === 'more') return
    this.#shake(store, found.kind === 'named' ? found.name : null)
  }

  #shake(store: CertificateStore, name: string | null): void {
    this.#state = 'shaking'
    const shown = store.shownFor(name)
    this.#certificate = shown.certificate
    const plain = this.#socket
    plain.data = NOBODY
    try {
      this.#socket = this.#upgrade(plain, shown.context)
    } catch (thrown) {
      plain.data = this
      this.#session.broke(thrown)
    }
    this.#hello = new Uint8Array(0)
  }

  #upgrade(plain: Socket<ClientSide>, context: NativeContext): Socket<ClientSide> {
    const [, secure] = plain.upgradeTLS<ClientSide>({
      data: this,
      socket: tlsHandlers,
      ...serverSide(this.#hello),
      tls: {
        ...{ secureContext: context },
        ALPNProtocols: ALPN,
        requestCert: this.#options.clientCert !== 'none',
        // Who is not authorised is told why, in words, once the handshake is over.
        rejectUnauthorized: false,
      },
    })
    return secure
  }

  /** The handshake has ended; whose certificate is good, the socket itself tells. */
  shaken(socket: Socket<ClientSide>, established: boolean): void {
    if (this.#state !== 'shaking') return
    this.#socket = socket
    if (!established) return this.#fail('handshake')
    if (this.#direct && socket.alpnProtocol !== ALPN_NAME) return this.#fail('alpn')
    const refusal = this.#refusal(socket)
    if (refusal !== null) this.#count('certificate')
    this.#state = 'over'
    const version = socket.getTLSVersion()
    if (refusal === null) this.#options.account.connections.add(version)
    socket.data = this.#session
    const facts = { version, cipher: socket.getCipher().name, subject: subjectOf(socket) }
    this.#session.secured(socket, facts, { refused: refusal, certificate: this.#certificate })
  }

  #refusal(socket: Socket<ClientSide>): Refusal | null {
    const { clientCert } = this.#options
    if (clientCert === 'none' || socket.authorized) return null
    const shown = socket.getPeerX509Certificate() !== undefined
    if (!shown) return clientCert === 'required' ? CERTIFICATE_NEEDED : null
    return CERTIFICATE_UNKNOWN
  }

  #fail(cause: TlsFailure): void {
    if (this.#state === 'over') return
    this.#count(cause)
    // The end of the socket is the end of the session.
    this.#socket.terminate()
  }

  #count(cause: TlsFailure): void {
    if (this.#state !== 'over') this.#options.account.failures.add(cause)
    this.#state = 'over'
  }
}

/** What Bun's types do not tell of: who is the server, and what has been read before. */
function serverSide(hello: Uint8Array): { isServer: true; initialData?: Uint8Array } {
  return hello.length === 0 ? { isServer: true } : { isServer: true, initialData: hello }
}

function subjectOf(socket: Socket<ClientSide>): string {
  return socket.authorized ? subjectText(socket.getPeerCertificate()?.subject) : ''
}
