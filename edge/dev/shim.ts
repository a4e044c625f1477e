// Cloudflare's REST API for one Workers KV namespace, over the runtime's own KV: values, expiry, limits and persistence are real.

import { counts, isLimited, nextFault, now, type Operation, serveControl, wrote } from "./control.ts";

export interface ApiEnv {
  MESH: KVNamespace;
  API_TOKEN: string;
  API_ACCOUNT: string;
  API_NAMESPACE: string;
}

/** One pair of a bulk write. */
interface Pair {
  key: string;
  value: string;
  base64?: boolean;
  expiration?: number;
  expiration_ttl?: number;
  metadata?: unknown;
}

/** An answer that is no success; thrown. Only the codes 10000, 10009 and 10013 are known to be those of production. */
class Refusal extends Error {
  readonly status: number;
  readonly code: number;
  readonly retryAfter: number | undefined;

  constructor(status: number, code: number, message: string, retryAfter?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

const MAX_BULK_PAIRS = 10_000;
const MAX_BULK_KEYS_READ = 100;
const BAD_REQUEST = 10_001;
const ROUTE =
  /^\/client\/v4\/accounts\/([^/]*)\/storage\/kv\/namespaces\/([^/]*)\/(values|metadata|keys|bulk)(?:\/(.+))?$/;

/** Answers a request below `/client/v4/`. */
export async function serveApi(request: Request, env: ApiEnv): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname === "/client/v4/__control") {
    return serveControl(request);
  }
  try {
    const { operation, perform } = route(request, url, env);
    const fault = nextFault(operation);
    if (fault?.status !== undefined) {
      counts.limited += fault.status === 429 ? 1 : 0;
      throw new Refusal(fault.status, fault.status, "a fault that a test asked for", fault.retryAfter);
    }
    const answer = await perform();
    return fault ? brokenOff() : answer;
  } catch (error) {
    return refused(error instanceof Refusal ? error : ofRuntime(error));
  }
}

/** What a request asks for, once it may. */
function route(request: Request, url: URL, env: ApiEnv): { operation: Operation; perform: () => Promise<Response> } {
  const [, account, namespace, resource, rest] = ROUTE.exec(url.pathname) ?? [];
  const bearer = request.headers.get("authorization");
  if (bearer !== `Bearer ${env.API_TOKEN}` || (account !== undefined && account !== env.API_ACCOUNT)) {
    throw new Refusal(403, 10_000, "Authentication error");
  }
  if (resource === undefined || account === undefined) {
    throw new Refusal(404, 7003, "Could not route to the path");
  }
  if (namespace !== env.API_NAMESPACE) {
    throw new Refusal(404, 10_013, "get namespace: 'namespace not found'");
  }
  const kv = env.MESH;
  const key = decodeURIComponent(rest ?? "");
  switch (`${request.method} ${resource}${resource === "bulk" && rest ? `/${rest}` : ""}`) {
    case "GET values":
      return { operation: "get", perform: () => value(kv, key) };
    case "GET metadata":
      return { operation: "get", perform: () => metadata(kv, key) };
    case "PUT values":
      return { operation: "put", perform: () => write(kv, key, request, url.searchParams) };
    case "DELETE values":
      return { operation: "delete", perform: () => remove(kv, [key]).then(() => success({})) };
    case "GET keys":
      return { operation: "list", perform: () => keys(kv, url.searchParams) };
    case "PUT bulk":
      return { operation: "put", perform: () => writeAll(kv, request) };
    case "POST bulk/get":
      return { operation: "get", perform: () => readAll(kv, request) };
    // The older of the two spellings is what wrangler sends.
    case "DELETE bulk":
    case "POST bulk/delete":
      return { operation: "delete", perform: () => removeAll(kv, request) };
    default:
      throw new Refusal(405, 7001, `Method ${request.method} not available for that URI`);
  }
}

async function value(kv: KVNamespace, key: string): Promise<Response> {
  counts.reads += 1;
  const found = await kv.get(key, "arrayBuffer");
  return new Response(found ?? missing(key), { headers: dated({ "content-type": "application/octet-stream" }) });
}

async function metadata(kv: KVNamespace, key: string): Promise<Response> {
  counts.reads += 1;
  const found = await kv.getWithMetadata(key, "arrayBuffer");
  return success(found.value ? found.metadata : missing(key));
}

async function write(kv: KVNamespace, key: string, request: Request, query: URLSearchParams): Promise<Response> {
  if (isLimited(key)) {
    throw new Refusal(429, 429, "Rate limited: one write a second for a key", 1);
  }
  let content: ArrayBuffer | string | File | null = null;
  let described: unknown;
  if (request.headers.get("content-type")?.startsWith("multipart/form-data")) {
    const form = await request.formData();
    const text = form.get("metadata");
    content = form.get("value");
    described = typeof text === "string" ? parsed(text) : undefined;
  } else {
    content = await request.arrayBuffer();
  }
  if (content === null) {
    throw new Refusal(400, BAD_REQUEST, "the form has no value");
  }
  const bytes = content instanceof File ? await content.arrayBuffer() : content;
  await kv.put(key, bytes, options(number(query, "expiration_ttl"), number(query, "expiration"), described));
  wrote(key);
  return success({});
}

async function keys(kv: KVNamespace, query: URLSearchParams): Promise<Response> {
  const limit = number(query, "limit") ?? 1000;
  if (limit < 10 || limit > 1000) {
    throw new Refusal(400, BAD_REQUEST, "limit must be 10 to 1000");
  }
  counts.lists += 1;
  const listed = await kv.list({ prefix: query.get("prefix"), limit, cursor: query.get("cursor") });
  const cursor = listed.list_complete ? "" : listed.cursor;
  return success(listed.keys, { count: listed.keys.length, cursor });
}

async function writeAll(kv: KVNamespace, request: Request): Promise<Response> {
  const pairs = await list<Pair>(request, MAX_BULK_PAIRS);
  if (!pairs.every((pair) => typeof pair?.key === "string" && typeof pair.value === "string")) {
    throw new Refusal(400, BAD_REQUEST, "each pair needs a key and a value");
  }
  const limited: string[] = [];
  for (const pair of pairs) {
    if (isLimited(pair.key)) {
      limited.push(pair.key);
    } else {
      const content = pair.base64 ? Uint8Array.from(atob(pair.value), (byte) => byte.charCodeAt(0)) : pair.value;
      await kv.put(pair.key, content, options(pair.expiration_ttl, pair.expiration, pair.metadata));
      wrote(pair.key);
    }
  }
  return success({ successful_key_count: pairs.length - limited.length, unsuccessful_keys: limited });
}

async function readAll(kv: KVNamespace, request: Request): Promise<Response> {
  const asked = parsed(await request.text()) as { keys?: string[]; type?: string; withMetadata?: boolean } | null;
  if (!Array.isArray(asked?.keys) || asked.keys.length > MAX_BULK_KEYS_READ) {
    throw new Refusal(400, BAD_REQUEST, `a list of at most ${MAX_BULK_KEYS_READ} keys is needed`);
  }
  const values: Record<string, unknown> = {};
  for (const key of asked.keys) {
    counts.reads += 1;
    const found = await kv.getWithMetadata(key);
    const content = asked.type === "json" && found.value !== null ? parsed(found.value) : found.value;
    values[key] = asked.withMetadata && content !== null ? { value: content, metadata: found.metadata } : content;
  }
  return success({ values });
}

async function removeAll(kv: KVNamespace, request: Request): Promise<Response> {
  const names = await list<string>(request, MAX_BULK_PAIRS);
  await remove(kv, names);
  return success({ successful_key_count: names.length, unsuccessful_keys: [] });
}

async function remove(kv: KVNamespace, names: string[]): Promise<void> {
  for (const name of names) {
    counts.deletes += 1;
    await kv.delete(name);
  }
}

function options(ttl: number | undefined, expiration: number | undefined, described: unknown): KVNamespacePutOptions {
  const expiry = ttl !== undefined ? { expirationTtl: ttl } : expiration !== undefined ? { expiration } : {};
  return described === undefined || described === null ? expiry : { ...expiry, metadata: described };
}

function number(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  return text === null ? undefined : Number(text);
}

async function list<T>(request: Request, most: number): Promise<T[]> {
  const read = parsed(await request.text());
  if (!Array.isArray(read) || read.length > most) {
    throw new Refusal(400, BAD_REQUEST, `a list of at most ${most} is needed`);
  }
  return read as T[];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, BAD_REQUEST, "invalid JSON");
  }
}

function missing(key: string): never {
  throw new Refusal(404, 10_009, `get: 'key not found' (${key})`);
}

/** What the runtime's KV refuses: `KV PUT failed: 400 …`, and names of keys by a TypeError. */
function ofRuntime(error: unknown): Refusal {
  const message = error instanceof Error ? error.message : String(error);
  const status = /^KV \w+ failed: (\d{3}) /.exec(message)?.[1];
  return new Refusal(status ? Number(status) : error instanceof TypeError ? 400 : 500, BAD_REQUEST, message);
}

function dated(headers: Record<string, string> = {}): Record<string, string> {
  return { ...headers, date: new Date(now()).toUTCString() };
}

function success(result: unknown, info?: { count: number; cursor: string }): Response {
  const envelope = { success: true, errors: [], messages: [], result, ...(info && { result_info: info }) };
  return Response.json(envelope, { headers: dated() });
}

function refused({ status, code, message, retryAfter }: Refusal): Response {
  const headers = dated(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) });
  const errors = [{ code, message }];
  return Response.json({ success: false, errors, messages: [], result: null }, { status, headers });
}

/** An answer that ends before its body does, with the connection. */
function brokenOff(): Response {
  const { readable, writable } = new FixedLengthStream(1000);
  // The rejection is what is wanted; nobody else waits for it.
  writable.abort(new Error("a fault that a test asked for")).catch(() => undefined);
  return new Response(readable, { headers: dated() });
}
