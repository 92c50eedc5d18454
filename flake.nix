{
  description = "nexus-host: builds immutable Debian hosts from one TOML file, tests them in a VM";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" ];
      forAllSystems = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      manifest = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).package;
      nexus-host =
        pkgs:
        pkgs.rustPlatform.buildRustPackage {
          pname = manifest.name;
          version = manifest.version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          # The program in the initrd is linked statically.
          buildInputs = [ pkgs.glibc.static ];
          # OpenSSL of the built-in SSH client is built with Perl.
          nativeBuildInputs = [ pkgs.installShellFiles pkgs.perl ];
          # The whole suite needs the network and user namespaces; `cargo test --lib` needs neither.
          cargoTestFlags = [ "--lib" ];
          postInstall = ''
            installShellCompletion --cmd nexus-host \
              --bash <($out/bin/nexus-host completions bash) \
              --fish <($out/bin/nexus-host completions fish) \
              --zsh <($out/bin/nexus-host completions zsh)
            $out/bin/nexus-host man > nexus-host.1
            installManPage nexus-host.1
          '';
          meta = {
            description = manifest.description;
            license = with pkgs.lib.licenses; [ mit asl20 ];
            mainProgram = "nexus-host";
            platforms = systems;
          };
        };
    in
    {
      packages = forAllSystems (pkgs: {
        default = nexus-host pkgs;
      });

      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (nexus-host pkgs) ];
          packages = [ pkgs.clippy pkgs.rustfmt pkgs.rust-analyzer ];
        };
      });

      checks = forAllSystems (pkgs: {
        package = nexus-host pkgs;
        format = pkgs.runCommand "nexus-host-format" { nativeBuildInputs = [ pkgs.cargo pkgs.rustfmt ]; } ''
          cd ${self}
          cargo fmt --all --check
          touch $out
        '';
      });
    };
}
