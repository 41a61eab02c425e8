// Runs the official Tencent Cloud SDK for Node.js, unchanged, against a server on plain HTTP or HTTPS.
//
// Not a client of its own: it only chooses the SDK's settings. Reads one JSON object a line from standard input and answers each with
// one line, in order, as python_client.py does and with the same fields; this SDK has no unsigned payload and no second, asynchronous client,
// and takes further authorities from NODE_EXTRA_CA_CERTS only.
// The SDK is loaded from the folder CATHARSIS_TEST_NODE_DIR, which holds node_modules.

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const folder = process.env.CATHARSIS_TEST_NODE_DIR;
if (!folder) {
  throw new Error("CATHARSIS_TEST_NODE_DIR is not set: scripts/test sets it");
}
const { cdn } = createRequire(join(folder, "package.json"))("tencentcloud-sdk-nodejs-cdn");

// Name: [signature method, HTTP method].
const FORMS = {
  "tc3-post": ["TC3-HMAC-SHA256", "POST"],
  "tc3-get": ["TC3-HMAC-SHA256", "GET"],
  "v1-sha1-get": ["HmacSHA1", "GET"],
  "v1-sha1-post": ["HmacSHA1", "POST"],
  "v1-sha256-get": ["HmacSHA256", "GET"],
  "v1-sha256-post": ["HmacSHA256", "POST"],
};

async function answer(call) {
  const [signMethod, reqMethod] = FORMS[call.form];
  const client = new cdn.v20180606.Client({
    credential: { secretId: call.secretId, secretKey: call.secretKey, token: call.token },
    region: call.region ?? "",
    profile: {
      signMethod,
      language: call.language ?? "en-US",
      httpProfile: { protocol: `${call.protocol ?? "http"}://`, endpoint: call.endpoint, reqMethod, reqTimeout: 30 },
    },
  });
  try {
    // A typed method only names its action, so `untyped` needs nothing else than the name.
    const sent = call.untyped ? client.request(call.action, call.params) : client[call.action](call.params);
    return { ok: await sent };
  } catch (error) {
    return { error: { code: error.code ?? error.name, message: error.message, requestId: error.requestId ?? null } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  }
}
