/**
 * What the data path asks of a protocol: to cut a byte stream into pieces, to say which replies
 * are owed, and to say no in its own words. Pure: bytes in, bytes out, no sockets.
 */

import type { SharedConnection } from './postgres/sharing/connection.ts'
import type { Profile } from './postgres/sharing/profile.ts'
import type { SharingTerms } from './postgres/sharing/terms.ts'

/** Why something is refused; `code` is a SQLSTATE where the protocol has one. */
export interface Refused {
  readonly code: string
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
}

/** What a piece of a stream is:
 * - `none`: more bytes are needed
 * - `pass`: bytes that no step wants; they go on at once
 * - `unit`: whole messages for the chain
 * - `inject`: bytes of the gateway's own, to be written here
 * - `oversize`: a message too large to be held; answer with `streamOversize` or `dropOversize`
 * - `edge`: a request for encryption, shown to some steps, answered already or by `secure` next
 * - `secure`: TLS begins, with the bytes of the piece if there are any; `secured` ends it
 * - `cancel`: a CancelRequest
 * - `admitted`: the gateway has let the client in; nothing more can be said without a server
 * - `serverless`: what comes next needs a server, and there is none yet: the lessor has been asked
 * - `violation`: bytes that are not of this protocol; `violation` tells why
 */
export type Piece =
  | 'none'
  | 'pass'
  | 'unit'
  | 'inject'
  | 'oversize'
  | 'edge'
  | 'secure'
  | 'cancel'
  | 'admitted'
  | 'serverless'
  | 'violation'

/** How units are cut: the widest unit that a step of the direction asks for. */
export type Cut = 'message' | 'batch' | 'reply'

/** Which messages become units. `tags[tag]` is 1 for a wanted one; null: nothing is wanted. */
export interface Wanted {
  readonly cut: Cut
  readonly tags: Uint8Array | null
}

/** Bytes held for steps, all sessions of a listener together. */
export interface Budget {
  held: number
  /** A reload may set another. */
  heldMax: number
  /** Times that the budget was spent. */
  spent: number
}

export interface FlowLimits {
  /** Largest message or reply given to a step, in bytes. */
  readonly messageBytesMax: number
  readonly budget: Budget
}

/** What of a unit a step wants: nothing, all of it in one piece, or parts of it. */
export type Share = 'none' | 'whole' | 'parts'

/** A part of a unit for one step; `wanted` is false for messages that the step did not name. */
export interface Part {
  readonly bytes: Uint8Array
  readonly wanted: boolean
}

/** One direction of one conversation. */
export interface Flow {
  /** The bytes of the piece that `next` returned; borrowed until the next call of it. */
  readonly bytes: Uint8Array
  /** True for a unit that is only a part of a reply too large to be given whole. */
  readonly over: boolean
  /** Why the last piece was a violation, as a sentence. */
  readonly violation: string
  /**
   * A short cut for what most chunks are: whole messages that nobody wants. All of the chunk has
   * been noted, and what is returned is written in its place; borrowed until the next call. Null:
   * nothing was done; push it. `serverless`: as the piece; nothing was done, and it must wait.
   */
  pass(chunk: Uint8Array): Uint8Array | 'serverless' | null
  /** Takes the next bytes from the source. Call `next` until `none` before the next push. */
  push(chunk: Uint8Array): void
  next(): Piece
  /** The source has ended: what is held comes as last pieces. */
  end(): void
  streamOversize(): void
  dropOversize(): void
  /** Notes whole messages that passed the chain; returns what of them is to be written. */
  forward(bytes: Uint8Array): Uint8Array
  /**
   * Refuses a unit in the protocol's words; returns what is to be written in its place (may be
   * empty). Null: the protocol has no words for it here, and the session must be closed.
   */
  deny(unit: Uint8Array, refused: Refused): Uint8Array | null
  /** What `parts` would cut out of a unit, told without cutting. */
  share(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): Share
  /** Cuts a unit for one step; `tags` as in Wanted, null for all. */
  parts(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): readonly Part[]
  /** Why the bytes are not whole, well-formed messages of this direction; null if they are. */
  flaw(bytes: Uint8Array): string | null
  /** True while the source should be paused, because too much is owed. */
  readonly full: boolean
  /** Gives up what is held; idempotent. */
  release(): void
}

export interface ClientFlow extends Flow {
  /** Why the bytes cannot answer a request; null if they can. */
  answerFlaw(bytes: Uint8Array): string | null
  /** Answers a unit without the server; returns what the server must be sent all the same. */
  respond(unit: Uint8Array, bytes: Uint8Array): Uint8Array
  /** False where these messages need a server and there is none: the lessor was asked. */
  readyFor(bytes: Uint8Array): boolean
}

/** Where a session that shares connections by transactions gets one. */
export interface Lessor {
  readonly terms: SharingTerms
  /** True where it has one, or gets one now; false: it goes on when there is one. */
  fetch(): boolean
}

/** Asked by a conversation when it has something of its own to write on the other side. */
export interface Waker {
  wakeToServer(): void
  wakeToClient(): void
}

/** How one step of a login ends; the bytes are for the client. */
export type LoginStep =
  | { readonly kind: 'say'; readonly bytes: Uint8Array }
  | { readonly kind: 'admitted'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'refused'
      readonly refused: Refused
      /** For the log of the gateway alone: what the client need not know. Holds no secret. */
      readonly reason: string
    }

/** Asks one client who it is, in the server's stead. */
export interface Doorkeeper {
  begin(user: string): LoginStep
  /** Takes a whole message of the client. */
  take(message: Uint8Array): LoginStep
}

/** A certificate that clients are shown; one object for each. */
export interface ShownCertificate {
  readonly pem: string
}

/** What a handshake with a client has come to. */
export interface SecuredOutcome {
  /** The client is to be heard out, and told. */
  readonly refused: Refused | null
  readonly certificate: ShownCertificate
}

/** The gateway lets clients in by itself, because server connections are logged in already. */
export interface Gate {
  /**
   * Makes the doorkeeper of one client, which was shown this certificate, or none; null: a plugin
   * must answer the login.
   */
  readonly doorkeeper: ((certificate: ShownCertificate | null) => Doorkeeper) | null
  /** The database that the server connections have; a client must ask for this one. */
  readonly database: string
  /** Clients share the connections by transactions. */
  readonly shares: boolean
  /** Told why a client was not let in. */
  turnedAway(reason: string): void
}

/** What is known of a server connection that the gateway has logged in. */
export interface ServerState {
  /** What the server reported, by name: `server_version` and so on. */
  readonly parameters: Map<string, string>
  /** What a CancelRequest to this connection must name. */
  cancelKey: Uint8Array
  /** What clients have left on it that share it by transactions. */
  readonly shared: SharedConnection
}

/** How an errand has ended. */
export type ErrandOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly refused: Refused }

/** What the gateway itself has to say to a server while no client has the connection. */
export interface Errand {
  /** What to send first. */
  readonly opening: Uint8Array
  /** Takes what came from the server; returns what to send now, which may be nothing. */
  take(bytes: Uint8Array): Uint8Array
  /** Null while it is under way. */
  readonly outcome: ErrandOutcome | null
  /** True where the server has said a part of a message only. */
  readonly midMessage?: boolean
}

/** How the connections of one pool are logged in and cleaned. */
export interface PoolLogin {
  readonly user: string
  readonly database: string
  readonly password: string
  /** What takes away all that a client left. */
  readonly resetQuery: string
  /** Clients share the connections by transactions. */
  readonly shares: boolean
  /** True where nobody can listen who must not see the password. */
  readonly cleartextPermitted: boolean
}

/** What a server says it is: whether it takes writes, and how often its history was forked. */
export interface ServerStanding {
  readonly kind: 'primary' | 'standby'
  /** 0 where it is not known. */
  readonly timeline: number
}

/** What is asked of a server that may have another role now. */
export interface RoleErrands {
  /** What tells a server that a connection ends. */
  readonly farewell: Uint8Array
  logIn(state: ServerState): Errand
  /** Asks what it is; `told` is called before the errand ends well. */
  askRole(state: ServerState, told: (standing: ServerStanding) => void): Errand
  /** True where what is known of a connection says already that its server takes no writes. */
  readOnly(state: ServerState): boolean
}

/** The errands of one pool, whose connections are logged in, cleaned and lent again. */
export interface Errands extends RoleErrands {
  /**
   * The parameters that a client will see which asks for these settings, on a connection that
   * reports `baseline`; null where only the server can tell.
   */
  assume(
    startup: Uint8Array,
    baseline: ReadonlyMap<string, string>,
  ): ReadonlyMap<string, string> | null
  /** Gives a connection the settings that a client asked for when it connected. */
  prepare(startup: Uint8Array, state: ServerState): Errand
  /** Takes away all that a client left. */
  clean(left: 'idle' | 'transaction', state: ServerState): Errand
  /** Asks for a sign of life. */
  probe(state: ServerState): Errand
  /** Listens to a connection that nobody uses; ends only by failing. */
  watch(state: ServerState): Errand
  /** Gives a connection the settings of a client that is in; null where it has them. */
  follow(wanted: Profile, state: ServerState): Errand | null
}

/** A session's part in sharing connections by transactions. */
export interface Sharing {
  /** The settings of the client; null until it is in. */
  readonly profile: Profile | null
  /** The client has its connection for itself. */
  readonly pinned: boolean
  /** Nothing is under way on the connection, and nothing ties the client to it. */
  readonly releasable: boolean
  /** What was sent may have left the server in a state that others must not find. */
  readonly soiled: boolean
  /** A connection is there, which has the settings of the client. */
  borrow(state: ServerState): void
  /** The connection is given back, or gone. */
  giveBack(): void
  /** The session has ended. */
  end(): void
}

export interface Conversation {
  readonly fromClient: ClientFlow
  readonly fromServer: Flow
  readonly user: string
  readonly database: string
  readonly applicationName: string
  /** True once the server has let the client in. */
  readonly loggedIn: boolean
  /** True while the client has said nothing yet that reached the server: it may be routed. */
  readonly routable: boolean
  /** The client has named statements that live in its server connection alone. */
  readonly prepares: boolean
  /** Nothing owed and no transaction open. */
  readonly idle: boolean
  /** Replies are owed to the client. */
  readonly owes: boolean
  /** The next word is surely the server's: it owes a reply that it needs nothing more for. */
  readonly awaitsServer: boolean
  /** True while only a part of a message has been let through to the client: no words fit there. */
  readonly midMessage: boolean
  /** True where a client may go on sending when its server has ended. */
  readonly outlivesServer: boolean
  /** Between two exchanges: nothing is owed, held, half read or half written, either way. */
  readonly atRest: boolean
  /** Cuts as others want it from here on; only where it is at rest. */
  rewatch(wishes: Wishes): void
  /** Names the server session for a later CancelRequest; "" until known. */
  readonly cancelKey: string
  /** What comes from the client from here on came encrypted; it may have to be refused. */
  secured(outcome: SecuredOutcome): void
  /** The client is refused: it is heard out as far as the protocol needs, then told and closed. */
  refuse(refused: Refused): void
  /** With what the client has introduced itself; empty until it has. */
  readonly startup: Uint8Array
  /** The client takes keys for cancelling that are longer than 8 bytes. */
  readonly takesLongKeys: boolean
  /** The client is in, and told of these parameters; `key` names its session to it. */
  admit(parameters: ReadonlyMap<string, string>, key: Uint8Array): void
  /** The client is told where its server's parameters are others than it has been `told`. */
  correct(told: ReadonlyMap<string, string>, actual: ReadonlyMap<string, string>): void
  /**
   * In which state the server connection is left: nothing is under way, or a transaction is open;
   * null where nobody else may have it, because something is owed or was said in part.
   */
  readonly leaves: 'idle' | 'transaction' | null
  /** True where what is owed comes only if the client says more. */
  readonly awaitsClient: boolean
  /** True where the client has said its farewell. */
  readonly departed: boolean
  /** How the session shares connections by transactions; null where it does not. */
  readonly sharing: Sharing | null
  /** True once a refused client has been told. */
  readonly refusalTold: boolean
  /** Last words to a client; null where none would be understood, or the client has left. */
  farewell(refused: Refused): Uint8Array | null
}

/** Who speaks encrypted here, and who must. */
export interface EncryptionTerms {
  readonly clients: 'none' | 'offered' | 'required'
  /** Some of the servers are spoken to encrypted. */
  readonly servers: boolean
  /** Told of a client that is refused because it does not. */
  unencrypted(): void
}

/** What the steps and observers of a session want to be given, and how much of it. */
export interface Wishes {
  readonly fromClient: Wanted
  readonly fromServer: Wanted
  readonly limits: FlowLimits
}

export interface ConversationOptions extends Wishes {
  readonly waker: Waker
  /** Null: the server answers the login. */
  readonly gate: Gate | null
  /** Told where the server was asked for a write and takes none; left out: nobody is. */
  readonly writeRefused?: (() => void) | null
  /** Where the session gets its connections from, if it shares them by transactions. */
  readonly lessor?: Lessor | null
  /** Left out: nobody does. */
  readonly encryption?: EncryptionTerms
}

export interface Protocol {
  readonly name: string
  /** The tag of a message by its name in the direction from client or server. */
  tag(from: 'client' | 'server', name: string): number | undefined
  /** The key that a CancelRequest names, as `Conversation.cancelKey`; "" for other bytes. */
  cancelTarget(request: Uint8Array): string
  converse(options: ConversationOptions): Conversation
  /** Null where connections cannot be shared by clients. */
  readonly errands: ((login: PoolLogin) => Errands) | null
  /** Null where servers have no roles. */
  readonly roleErrands: ((login: Omit<PoolLogin, 'resetQuery' | 'shares'>) => RoleErrands) | null
  /** The request that cancels what the connection with this key is doing. */
  cancelRequest(key: Uint8Array): Uint8Array
}
