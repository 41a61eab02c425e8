# Varnish 7.1 under Catharsis. Why each line is here: docs/caches/README.md.
# Replace @ORIGIN_HOST@, @ORIGIN_PORT@ and @RELAY_HOST@.
vcl 4.1;

import purge;
import std;

backend origin {
    .host = "@ORIGIN_HOST@";
    .port = "@ORIGIN_PORT@";
    .connect_timeout = 5s;
    .first_byte_timeout = 30s;
    .between_bytes_timeout = 10s;
}

# The address that the relay calls from. Nobody else may purge.
acl relay {
    "@RELAY_HOST@";
}

sub catharsis_normalize {
    # One spelling of the host for GET and PURGE, or a purge misses what a client stored.
    set req.http.Host = regsub(regsub(std.tolower(req.http.Host), "\.(:[0-9]+)?$", "\1"), ":(80|443)$", "");
    # A host that no purge can name. A `/` in it would also run into the path of the key.
    if (req.http.Host !~ "^[a-z0-9_-]+(\.[a-z0-9_-]+)*(:[1-9][0-9]{0,4})?$") {
        return (synth(400));
    }
    # `GET https://host/p` keeps its scheme in the key, where no purge would find it.
    if (req.url !~ "^/" && !(req.method == "OPTIONS" && req.url == "*")) {
        return (synth(400));
    }
}

sub catharsis_everything {
    if (!std.ban("obj.status != 0")) {
        return (synth(500, "Ban failed: " + std.ban_error()));
    }
    return (synth(200, "Banned"));
}

sub catharsis_directories {
    # The request target is `/?` and a regular expression; it holds no blank, so the ban stays one comparison.
    if (req.url !~ "^/\?\^\(\?:") {
        return (synth(400));
    }
    if (!std.ban("obj.http.X-Catharsis-Key ~ " + regsub(req.url, "^/\?", ""))) {
        return (synth(500, "Ban failed: " + std.ban_error()));
    }
    return (synth(200, "Banned directories"));
}

sub vcl_recv {
    if (req.method == "PURGE" && client.ip !~ relay) {
        return (synth(405));
    }
    # Only known methods go further: the built-in VCL would pipe any other one to the origin.
    if (req.method !~ "^(GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|PURGE)$") {
        return (synth(405));
    }
    if (req.method == "PURGE") {
        if (req.http.X-Catharsis-Scope == "everything") {
            call catharsis_everything;
        }
        if (req.http.X-Catharsis-Scope == "directories") {
            call catharsis_directories;
        }
        # A scope or mode that this file does not know must not pass for the purge of one URL.
        if (req.http.X-Catharsis-Scope || (req.http.X-Catharsis-Mode && req.http.X-Catharsis-Mode != "expire")) {
            return (synth(501));
        }
    }
    call catharsis_normalize;
    # What the key is made of. The request itself stays as the client wrote it.
    unset req.http.X-Catharsis-Scheme;
    set req.http.X-Catharsis-Host = req.http.Host;
    set req.http.X-Catharsis-Target = req.url;
}

# Remove the # from the next line when domains have rules for their keys.
# include "./varnish-keys.vcl";

sub vcl_recv {
    set req.http.X-Catharsis-Key = req.http.X-Catharsis-Scheme + req.http.X-Catharsis-Host + req.http.X-Catharsis-Target;
    unset req.http.X-Catharsis-Scheme;
    unset req.http.X-Catharsis-Host;
    unset req.http.X-Catharsis-Target;
    if (req.method == "PURGE") {
        unset req.http.Range;
        set req.hash_ignore_busy = true;
        return (hash);
    }
}

sub vcl_hash {
    # Host and URL, no scheme unless a rule says so: http and https share one object, so one PURGE removes both.
    hash_data(req.http.X-Catharsis-Key);
    return (lookup);
}

sub catharsis_purge {
    # Reaches every Vary variant and returns how many there were.
    if (req.http.X-Catharsis-Mode == "expire") {
        # No grace: nothing is served before the origin has confirmed it. Kept for the conditional fetch that asks.
        set req.http.X-Catharsis-Purged = purge.soft(0s, 0s, 6h);
        set req.http.X-Catharsis-Done = "Expired ";
    } else {
        set req.http.X-Catharsis-Purged = purge.hard();
        set req.http.X-Catharsis-Done = "Purged ";
    }
    if (req.http.X-Catharsis-Purged == "0") {
        return (synth(404));
    }
    return (synth(200, req.http.X-Catharsis-Done + req.http.X-Catharsis-Purged));
}

sub vcl_hit {
    if (req.method == "PURGE") {
        call catharsis_purge;
    }
}

sub vcl_miss {
    if (req.method == "PURGE") {
        call catharsis_purge;
    }
}

sub vcl_pass {
    # Reached by a PURGE only when a hit-for-pass object is found: never let it go to the origin.
    if (req.method == "PURGE") {
        return (synth(500, "Hit-for-pass"));
    }
}

sub vcl_backend_fetch {
    # The origin sees the key only where a rule made it another one than the URL: nothing else carries it to the response.
    if (bereq.http.X-Catharsis-Key == bereq.http.Host + bereq.url) {
        unset bereq.http.X-Catharsis-Key;
    }
}

sub vcl_backend_response {
    # What bans of directories look at. First of all, so that no response is kept without it.
    if (bereq.http.X-Catharsis-Key) {
        set beresp.http.X-Catharsis-Key = bereq.http.X-Catharsis-Key;
    } else {
        set beresp.http.X-Catharsis-Key = bereq.http.Host + bereq.url;
    }
    # The bound behind fetch_max: a response whose headers took longer is delivered, never kept.
    if (beresp.time - bereq.time > 40s) {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        return (deliver);
    }
}

sub vcl_deliver {
    unset resp.http.X-Catharsis-Key;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}

sub vcl_synth {
    if (req.method == "PURGE") {
        set resp.body = "";
        return (deliver);
    }
}
