// An OpenID Connect provider that nobody here wrote: panva's oidc-provider, with people who need no password.
//
//   node provider.mjs '{"redirectUris":["…"],"clientId":"…","clientSecret":"…" or null,"people":{"ada":{"email":"…",…}}}'
//
// Prints {"issuer": "http://127.0.0.1:PORT"} when it listens. The end of standard input ends it.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const { redirectUris, clientId, clientSecret, people, algorithm = "RS256" } = JSON.parse(process.argv[2]);

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const key = (kind, options) => generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" });

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: clientId,
      redirect_uris: redirectUris,
      post_logout_redirect_uris: redirectUris.map((uri) => new URL("/", uri).href),
      response_types: ["code"],
      grant_types: ["authorization_code"],
      id_token_signed_response_alg: algorithm,
      ...(clientSecret ? { client_secret: clientSecret } : { token_endpoint_auth_method: "none" }),
    },
  ],
  jwks: { keys: [key("rsa", { modulusLength: 2048 }), key("ec", { namedCurve: "P-256" }), key("ed25519", {})] },
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA"] },
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"], groups: ["groups"] },
  findAccount: (_ctx, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  cookies: { keys: ["only for tests"] },
});
provider.on("server_error", (_ctx, error) => console.error(error));
server.on("request", provider.callback());
process.stdout.write(JSON.stringify({ issuer }) + "\n");
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
